"""Which files speak for no language: other people's, those that a tool wrote, and documentation; by path alone.

The rules are those by which GitHub counts, as far as a path tells: a file that only its text gives away as generated
counts here. What `.gitattributes` says goes before them (`attributes.py`).
"""

import re
from typing import Final

_DIRECTORIES: Final = re.compile(
    r"(?:^|/)(?:node_modules|bower_components|vendors?|[Ee]xtern(?:als?)?|cache|dist|testdata|env|Carthage|Godeps"
    r"|\.github|\.vscode|\.yarn/(?:releases|plugins|sdks|versions|unplugged)|gradle/wrapper|\.mvn/wrapper|MathJax"
    r"|ace-builds|vignettes|flow-typed|admin_media|[Tt]ests?/fixtures|[Ss]pecs?/fixtures|tiny_mce|extjs|puphpet"
    r"|[Cc]ode[Mm]irror/(?:\d+\.\d+/)?(?:lib|mode|theme|addon|keymap|demo)"
    r"|docs?/_?(?:build|themes?|templates?|static)|[Dd]ocumentation|[Jj]avadoc|[Gg]roovydoc|inst/doc|__generated__"
    r"|font-?awesome|select2|bourbon|[^/]*\.xctemplate|[^/]*\.imageset)/"
    r"|(?:3rd|[Tt]hird)[-_]?[Pp]arty/"
    r"|^(?:[Dd]ocs?|[Mm]an|[Ee]xamples|[Dd]emos?|[Ss]amples?|deps|[Dd]ependencies|debian)/"
)
_NAMES: Final = re.compile(
    r"configure|config\.(?:guess|sub)|aclocal\.m4|libtool\.m4|lt(?:options|sugar|version|~obsolete)\.m4"
    r"|cpplint\.py|erlang\.mk|gradlew(?:\.bat)?|mvnw(?:\.cmd)?|Vagrantfile|Jenkinsfile|waf|fabfile\.py"
    r"|activator(?:\.bat)?|dotnet-install\.(?:ps1|sh)|_esy|rebar|\.gitpod\.Dockerfile"
    r"|(?:CHANGE(?:S|LOG)?|CONTRIBUTING|COPYING|INSTALL|LICEN[CS]E|[Ll]icen[cs]e|README|[Rr]eadme)(?:\..*)?"
    r"|(?:jquery|angular|d3|react|prototype|modernizr|bootstrap|foundation|html5shiv|cordova|yui|mootools)"
    r"(?:[.-].*)?\.js|(?:effects|controls|dragdrop|ckeditor|Chart|dojo)\.js"
    r"|(?:bootstrap|font-?awesome|normalize|animate|materialize|bulma|foundation|skeleton).*\.(?:css|less|s[ac]ss)"
)
_ENDINGS: Final = (
    *(".min.js", "-min.js", ".min.css", "-min.css", ".d.ts", ".js.map", ".css.map", ".nib", ".xcworkspacedata"),
    *(".pb.go", ".pb.cc", ".pb.h", ".pb.rb", ".pb.dart", "_pb2.py", "_pb2_grpc.py", "_pb2.pyi", "_pb.js", ".gen.go"),
    *(".designer.cs", ".Designer.cs", ".designer.vb", ".g.cs", ".g.i.cs", ".g.dart", ".freezed.dart"),
    *(".pbobjc.h", ".pbobjc.m", "Makefile.in", "ppport.h"),
)
"""Of what tools write, and of what is shipped beside its source."""


def name_is_aside(name: str) -> bool:
    """Whether the last part of a path says that the file speaks for no language."""
    return name.endswith(_ENDINGS) or name.startswith("zz_generated.") or _NAMES.fullmatch(name) is not None


def directory_is_aside(directory: str) -> bool:
    """Whether all files in a directory ("" is the root) speak for no language."""
    return _DIRECTORIES.search(f"{directory}/") is not None
