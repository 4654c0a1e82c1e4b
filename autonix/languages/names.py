"""Which language a file is written in, by its name; texts are not looked at.

Only languages that people program or mark up in count, as GitHub counts them: data (JSON, YAML, XML, SQL) and prose
(Markdown) have no share. Where versions of github-linguist differ it is 7.22, Debian 12's: to that `.env` is a script
of the shell's, to later ones data, and a justfile no language yet. A name that several languages use stands for the one
that most repositories mean by it; `.h` waits for the rest of the tree (`shares.settled`).
"""

from collections.abc import Mapping
from typing import Final

HEADER: Final = "a C header"
"""What `.h` is until the other files tell: C, C++ or Objective-C."""

_BY_LANGUAGE: Final[Mapping[str, str]] = {
    "ActionScript": "as",
    "Ada": "adb ads",
    "Apex": "apex trigger",
    "AppleScript": "applescript scpt",
    "Assembly": "asm s a51 nasm",
    "Astro": "astro",
    "AutoHotkey": "ahk",
    "Awk": "awk gawk",
    "Batchfile": "bat cmd",
    "Bicep": "bicep",
    "Blade": "blade.php",
    "C": "c idc cats",
    HEADER: "h",
    "C#": "cs csx cake",
    "C++": "cpp cc cxx c++ hpp hh hxx h++ ino ipp tpp inl",
    "CMake": "cmake cmake.in",
    "CSS": "css",
    "Clojure": "clj cljs cljc cljx boot",
    "CoffeeScript": "coffee cjsx",
    "Common Lisp": "lisp lsp asd",
    "Coq": "coq",
    "Crystal": "cr",
    "Cuda": "cu cuh",
    "Cython": "pyx pxd pxi",
    "D": "d di",
    "Dart": "dart",
    "Dhall": "dhall",
    "Dockerfile": "dockerfile",
    "EJS": "ejs",
    "Elixir": "ex exs",
    "Elm": "elm",
    "Emacs Lisp": "el",
    "Erlang": "erl hrl escript",
    "F#": "fs fsi fsx",
    "Fortran": "f f77 for f90 f95 f03 f08",
    "GDScript": "gd",
    "GLSL": "glsl frag vert geom comp",
    "Gherkin": "feature",
    "Gleam": "gleam",
    "Go": "go",
    "Groovy": "groovy gvy gsh",
    "HCL": "hcl tf tfvars nomad",
    "HLSL": "hlsl fx fxh",
    "HTML": "html htm xhtml hta",
    "HTML+EEX": "eex heex leex",
    "HTML+ERB": "erb rhtml",
    "Haml": "haml",
    "Handlebars": "handlebars hbs",
    "Haskell": "hs hsc",
    "Haxe": "hx",
    "Idris": "idr",
    "Java": "java jav",
    "JavaScript": "js mjs cjs jsx es6 jsm",
    "Jinja": "jinja jinja2 j2",
    "Jsonnet": "jsonnet libsonnet",
    "Julia": "jl",
    "Jupyter Notebook": "ipynb",
    "Kotlin": "kt kts ktm",
    "Less": "less",
    "Lex": "l lex",
    "Liquid": "liquid",
    "Lua": "lua",
    "M4": "m4",
    "MATLAB": "matlab",
    "MDX": "mdx",
    "Makefile": "mk mak make",
    "Metal": "metal",
    "Mustache": "mustache",
    "Nim": "nim nims nimble",
    "Nix": "nix",
    "Nushell": "nu",
    "OCaml": "ml mli mll mly",
    "Objective-C": "m",
    "Objective-C++": "mm",
    "PHP": "php phtml php3 php4 php5 phps",
    "PLpgSQL": "pgsql",
    "Pascal": "pas dpr lpr pp.pas",
    "Perl": "pl pm t",
    "PowerShell": "ps1 psm1 psd1",
    "Prolog": "prolog",
    "Pug": "pug jade",
    "Puppet": "pp",
    "PureScript": "purs",
    "Python": "py pyw pyi gyp gypi wsgi",
    "QML": "qml",
    "R": "r rsx",
    "Racket": "rkt rktd rktl",
    "Raku": "raku rakumod p6 pm6",
    "Reason": "re rei",
    "ReScript": "res resi",
    "Rich Text Format": "rtf",
    "Roff": "1 2 3 4 5 6 7 8 9 man roff",
    "Ruby": "rb rake gemspec ru rbi jbuilder podspec thor builder",
    "Rust": "rs rs.in",
    "SCSS": "scss",
    "Sass": "sass",
    "Scala": "scala sc sbt kojo",
    "Scheme": "scm ss sld",
    "Shell": "sh bash zsh ksh bats command",
    "Slim": "slim",
    "Smalltalk": "st",
    "Smarty": "tpl",
    "Solidity": "sol",
    "Standard ML": "sml sig fun",
    "Starlark": "bzl star bazel",
    "Stylus": "styl",
    "Svelte": "svelte",
    "Swift": "swift",
    "SystemVerilog": "sv svh",
    "Tcl": "tcl adp tm",
    "TeX": "tex sty cls bbx cbx ltx",
    "Thrift": "thrift",
    "Twig": "twig",
    "TypeScript": "ts tsx mts cts",
    "Typst": "typ",
    "V": "vv",
    "VBA": "vba bas",
    "VHDL": "vhdl vhd",
    "Vala": "vala vapi",
    "Verilog": "v veo",
    "Vim Script": "vim vmb",
    "Visual Basic .NET": "vb vbhtml",
    "Vue": "vue",
    "WGSL": "wgsl",
    "WebAssembly": "wat wast",
    "XSLT": "xsl xslt",
    "Yacc": "y yacc yy",
    "Zig": "zig",
    "fish": "fish",
}
"""Endings, without their first dot, in lower case."""

_NAMES: Final[Mapping[str, str]] = {
    "CMake": "CMakeLists.txt",
    "Dockerfile": "Dockerfile Containerfile",
    "Groovy": "Jenkinsfile",
    "M4": "configure.ac configure.in",
    "Makefile": "Makefile GNUmakefile makefile Makefile.am Makefile.in Kbuild BSDmakefile",
    "Meson": "meson.build meson_options.txt meson.options",
    "Procfile": "Procfile",
    "Python": "SConstruct SConscript wscript",
    "Ruby": "Rakefile Gemfile Podfile Guardfile Capfile Fastfile Brewfile Berksfile Thorfile Dangerfile",
    "Shell": ".bashrc .bash_profile .profile .zshrc .env .env.example .envrc .flaskenv PKGBUILD",
    "Starlark": "BUILD WORKSPACE BUILD.bazel Tiltfile",
    "Vim Script": ".vimrc",
}

ENDINGS: Final = {ending: language for language, each in _BY_LANGUAGE.items() for ending in each.split()}
NAMES: Final = {name: language for language, each in _NAMES.items() for name in each.split()}


def language_of(name: str) -> str | None:
    """The language of a file by the last part of its path, None where it counts for none."""
    if (known := NAMES.get(name)) is not None:
        return known
    first, dot, last = name.rpartition(".")
    if not dot:
        return None
    ending = last if last == last.lower() else last.lower()
    inner = first.rpartition(".")[2]
    if inner != first and (two := ENDINGS.get(f"{inner.lower()}.{ending}")) is not None:
        return two
    if name.startswith("Dockerfile."):
        return "Dockerfile"
    return ENDINGS.get(ending)
