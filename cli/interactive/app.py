"""`pcr tui`: the cluster live in a terminal; what is shown is `panes`, where it comes from is `source`."""

from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Static, TabbedContent, TabPane

from cli.interactive.panes import (
    Pane,
    event_lines,
    generation_detail,
    headline,
    panes,
    rollout_lines,
    vm_detail,
    worker_detail,
)
from cli.interactive.source import Scene, Source
from cli.settings import Target
from schema.operations import Explanation

STYLES = """
#headline { height: 2; padding: 0 1; background: $panel; }
#headline.converged { color: $success; }
#headline.failed { color: $error; }
#headline.held { color: $warning; }
#away { height: auto; padding: 0 1; background: $error; color: $text; display: none; }
#rollout { height: auto; max-height: 8; padding: 0 1; }
#filter { display: none; }
#filter.open { display: block; }
DataTable { height: 1fr; }
Detail { align: center middle; }
#detail { width: 90%; height: 80%; border: round $primary; background: $surface; padding: 1 2; }
"""
WAITING = "asking the control plane…"
TABLES = ("vms", "workers", "generations")


class Detail(ModalScreen[None]):
    """Everything about one thing, over the tables."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "back")]

    def __init__(self, text: str, *, about: str) -> None:
        super().__init__()
        self.about = about
        self._text = text

    def compose(self) -> ComposeResult:
        """One text that scrolls."""
        with VerticalScroll(id="detail"):
            yield Static(self._text, id="detail-text", markup=False)

    def show(self, text: str) -> None:
        """Another text."""
        self.query_one("#detail-text", Static).update(text)


class Came(Message):
    """A new scene."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.scene = scene


class Explained(Message):
    """An answer to `explain`."""

    def __init__(self, explanation: Explanation) -> None:
        super().__init__()
        self.explanation = explanation


class ClusterApp(App[None]):
    """The whole screen."""

    CSS = STYLES
    TITLE = "procurator"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("slash", "filter", "filter"),
        Binding("escape", "clear_filter", "clear", show=False),
        Binding("enter", "detail", "detail", show=True),
        *(Binding(key, f"show('{name}')", name) for key, name in zip("1234", (*TABLES, "events"), strict=True)),
    ]

    def __init__(self, target: Target) -> None:
        super().__init__()
        self._source = Source(target, on_scene=self._came, on_explained=self._explained)
        self._scene = Scene()
        self._wanted = ""

    def compose(self) -> ComposeResult:
        """The headline, the rollout, four tabs and the keys."""
        yield Static(WAITING, id="headline", markup=False)
        yield Static("", id="away", markup=False)
        yield Static("", id="rollout", markup=False)
        yield Input(placeholder="words that a line must hold; Enter keeps them, Escape clears", id="filter")
        with TabbedContent(initial="vms-tab"):
            for name in TABLES:
                with TabPane(name, id=f"{name}-tab"):
                    yield DataTable(id=name, cursor_type="row", zebra_stripes=True)
            with TabPane("events", id="events-tab"), VerticalScroll():
                yield Static("", id="events", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        self.query_one("#vms").focus()
        self._source.start()

    def on_unmount(self) -> None:
        """The thread ends with the screen."""
        self._source.stop()

    def _came(self, scene: Scene) -> None:
        self.post_message(Came(scene))  # from the other thread: post_message is made for it

    def _explained(self, explanation: Explanation) -> None:
        self.post_message(Explained(explanation))

    def on_came(self, message: Came) -> None:
        """Show the newest scene."""
        self._scene = message.scene
        self._draw()

    def on_explained(self, message: Explained) -> None:
        """Add the answer to the detail that asked for it."""
        if isinstance(self.screen, Detail) and self.screen.about == message.explanation.instance:
            self.screen.show(self._vm_text(message.explanation.instance, message.explanation))

    def _draw(self) -> None:
        scene = self._scene
        if not self.screen_stack or not (base := self.screen_stack[0]).query("#away"):
            return  # the app is ending: what came last is drawn nowhere
        away = base.query_one("#away", Static)
        away.display = bool(scene.away)
        away.update(f"{scene.away}; trying again" if scene.away else "")
        if scene.status is None:
            return
        line = base.query_one("#headline", Static)
        line.update(headline(scene.status))
        line.set_classes(scene.status.convergence.value)
        base.query_one("#rollout", Static).update(rollout_lines(scene.rollout))
        found = panes(scene.status, wanted=self._wanted)
        for name, pane in zip(TABLES, (found.vms, found.workers, found.generations), strict=True):
            _fill(base.query_one(f"#{name}", DataTable), pane)
            title = f"{name} ({len(pane.rows)} shown, {pane.left_out} more: filter)" if pane.left_out else name
            base.query_one(TabbedContent).get_tab(f"{name}-tab").label = title
        events = event_lines(scene.events, wanted=self._wanted)
        base.query_one("#events", Static).update("\n".join(reversed(events)) or "no events")

    def action_show(self, name: str) -> None:
        """Turn to a tab."""
        self.query_one(TabbedContent).active = f"{name}-tab"
        if name in TABLES:
            self.query_one(f"#{name}").focus()

    def action_filter(self) -> None:
        """Open the filter."""
        line = self.query_one("#filter", Input)
        line.add_class("open")
        line.focus()

    def action_clear_filter(self) -> None:
        """Close the filter and show everything again."""
        line = self.query_one("#filter", Input)
        line.value = ""
        line.remove_class("open")
        self._back_to_table()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self._wanted = event.value
        self._draw()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Keep the filter, and go on in the table."""
        self._back_to_table()

    def _back_to_table(self) -> None:
        name = self.query_one(TabbedContent).active.removesuffix("-tab")
        if name in TABLES:
            self.query_one(f"#{name}").focus()

    def on_data_table_row_selected(self, event: "DataTable.RowSelected") -> None:
        """Enter on a line."""
        key = event.row_key.value or ""
        if self._scene.status is None:
            return
        match event.data_table.id:
            case "vms":
                self.push_screen(Detail(self._vm_text(key, None), about=key))
                self._source.explain(key)
            case "workers":
                self.push_screen(Detail(worker_detail(self._scene.status, key), about=key))
            case _:
                self.push_screen(Detail(generation_detail(self._scene.status, key), about=key))

    def _vm_text(self, instance: str, explanation: Explanation | None) -> str:
        vms = self._scene.status.vms if self._scene.status else ()
        found = next((vm for vm in vms if vm.instance == instance), None)
        return vm_detail(found, explanation) if found else f"{instance} is gone"


def _fill(table: "DataTable[Any]", pane: Pane) -> None:
    """Bring the table to `pane`, cell by cell where its lines are the same, so that the cursor stays."""
    if not table.columns:
        for name in pane.header:
            table.add_column(name, key=name)
    if [key.value for key in table.rows] == [row.key for row in pane.rows]:
        for row in pane.rows:
            for name, text, old in zip(pane.header, row.cells, table.get_row(row.key), strict=True):
                if str(old) != text:
                    table.update_cell(row.key, name, Text(text), update_width=True)
        return
    chosen = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value if table.row_count else None
    table.clear()
    for row in pane.rows:
        table.add_row(*(Text(text) for text in row.cells), key=row.key)
    if chosen in {row.key for row in pane.rows}:
        table.move_cursor(row=table.get_row_index(chosen))


def run_app(target: Target) -> None:
    """Take over the terminal until `q`."""
    ClusterApp(target).run()
