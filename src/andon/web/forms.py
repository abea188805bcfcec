"""Forms: each field with its label, what it is for, what was typed before and what was wrong with it."""

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

from markupsafe import Markup

from andon.web.asking import Ask

__all__ = ["Form"]


class Form:
    """One form on a page: ``{{ f.open }} {{ f.area("note", "Note") }} {{ f.submit("Add") }} {{ f.close }}`` of a template.

    A form that was refused is shown again with what was typed in it and why it was refused.
    """

    def __init__(
        self,
        ask: Ask,
        csrf: str,
        numbers: Iterator[int],
        action: str,
        *,
        cls: str = "form",
        confirm: str = "",
        id: str = "",  # noqa: A002 - as HTML calls it
    ) -> None:
        """A form that is sent to a path.

        Args:
            ask: the request that it is shown for.
            csrf: what proves that it is ours.
            numbers: those of the forms of one page, which so has the same ids each time that it is made.
            action: where it is sent.
            cls: how it looks: ``form`` (fields below each other), ``row`` (beside each other) or ``bare``.
            confirm: asked before it is sent, where there is a script; empty: nothing is asked.
            id: in the page; one is made unless given.
        """
        self._ask, self._csrf, self._action, self._class, self._confirm = ask, csrf, action, cls, confirm
        wrong = ask.wrong
        self._wrong = wrong if wrong is not None and wrong.action == unquote(action) else None
        self.id = id or f"f{next(numbers)}"

    @property
    def open(self) -> Markup:
        """The beginning, with what was wrong."""
        text = Markup('<form method="post" action="{}" class="{}" id="{}"{}>').format(
            self._action,
            self._class,
            self.id,
            Markup(' data-confirm="{}"').format(self._confirm) if self._confirm else "",
        )
        text += self.hidden("csrf", self._csrf) + self.hidden("from", self._ask.here())
        return text + self.wrong

    close = Markup("</form>")

    @property
    def wrong(self) -> Markup:
        """Why it was refused; nothing where it was not."""
        if self._wrong is None:
            return Markup("")
        return Markup('<p class="wrong" role="alert" id="{}-wrong">{}</p>').format(self.id, self._wrong.message)

    @property
    def refused(self) -> bool:
        """Whether this form was just refused."""
        return self._wrong is not None

    def kept(self, name: str, value: object = "") -> str:
        """What was typed into a field that is shown again; else its value."""
        if self._wrong is not None and name in self._wrong.form:
            return self._wrong.form[name]
        return "" if value is None else str(value)

    def hidden(self, name: str, value: object) -> Markup:
        """A field that nobody sees."""
        return Markup('<input type="hidden" name="{}" value="{}">').format(name, "" if value is None else value)

    def text(
        self, name: str, label: str, value: object = "", *, hint: str = "", needed: bool = False, kind: str = "text",
        auto: str = "off", place: str = "", choices: Iterable[str] = (), focus: bool = False,
    ) -> Markup:  # fmt: skip
        """A line of text; `choices` are offered, others are taken too."""
        more = Markup("")
        listed = Markup("")
        if options := list(choices):
            more = Markup(' list="{}-{}-list"').format(self.id, name)
            listed = Markup('<datalist id="{}-{}-list">{}</datalist>').format(
                self.id, name, Markup("").join(Markup('<option value="{}">').format(o) for o in options)
            )
        inside = Markup('<input type="{}" name="{}" id="{}-{}" value="{}" autocomplete="{}" placeholder="{}"{}{}{}>').format(
            kind, name, self.id, name, self.kept(name, value) if kind != "password" else "", auto, place,
            self._marks(name, hint, needed=needed), more, Markup(" autofocus") if focus else "",
        )  # fmt: skip
        return self._field(name, label, hint, inside + listed, needed=needed)

    def area(
        self, name: str, label: str, value: object = "", *, hint: str = "", needed: bool = False, rows: int = 3,
        place: str = "", code: bool = False,
    ) -> Markup:  # fmt: skip
        """Several lines of text."""
        inside = Markup('<textarea name="{}" id="{}-{}" rows="{}" placeholder="{}"{}{}>\n{}</textarea>').format(
            name, self.id, name, rows, place, self._marks(name, hint, needed=needed), Markup(' class="code"') if code else "",
            self.kept(name, value),
        )  # fmt: skip
        return self._field(name, label, hint, inside, needed=needed)

    def select(
        self, name: str, label: str, options: Mapping[str, str] | Iterable[str], value: object = "", *, hint: str = "",
        needed: bool = False,
    ) -> Markup:  # fmt: skip
        """One of several; `options` are values, or values with what people read."""
        pairs = options.items() if isinstance(options, Mapping) else ((o, o) for o in options)
        chosen = self.kept(name, value)
        inside = Markup('<select name="{}" id="{}-{}"{}>{}</select>').format(
            name, self.id, name, self._marks(name, hint, needed=needed),
            Markup("").join(
                Markup('<option value="{}"{}>{}</option>').format(v, Markup(" selected") if v == chosen else "", t)
                for v, t in pairs
            ),
        )  # fmt: skip
        return self._field(name, label, hint, inside, needed=needed)

    def check(self, name: str, label: str, *, value: str = "yes", on: bool = False, hint: str = "") -> Markup:
        """Something that is so or not."""
        chosen = self._wrong.form.get(name) == value if self._wrong is not None else on
        return Markup(
            '<p class="field check"><input type="checkbox" name="{}" id="{}-{}-{}" value="{}"{}> <label for="{}-{}-{}">{}</label>{}</p>'
        ).format(
            name, self.id, name, value, value, Markup(" checked") if chosen else "", self.id, name, value, label,
            Markup('<span class="hint">{}</span>').format(hint) if hint else "",
        )  # fmt: skip

    def submit(self, label: str, *, tone: str = "", name: str = "", value: str = "", key: str = "") -> Markup:
        """The button that sends it; `tone` is ``primary``, ``danger``, ``quiet`` or nothing, `key` presses it from the keyboard."""
        return Markup('<button type="submit" class="btn {}"{}{}>{}{}</button>').format(
            tone, Markup(' name="{}" value="{}"').format(name, value) if name else "",
            Markup(' data-key="{}"').format(key) if key else "", label, Markup(" <kbd>{}</kbd>").format(key) if key else "",
        )  # fmt: skip

    def _marks(self, name: str, hint: str, *, needed: bool) -> Markup:
        by = [f"{self.id}-{name}-hint"] if hint else []
        by += [f"{self.id}-wrong"] if self._wrong is not None else []
        marks = Markup(" required") if needed else Markup("")
        return marks + (Markup(' aria-describedby="{}"').format(" ".join(by)) if by else Markup(""))

    def _field(self, name: str, label: str, hint: str, inside: Markup, *, needed: bool) -> Markup:
        optional = Markup("") if needed else Markup(' <span class="soft">optional</span>')
        return Markup('<p class="field"><label for="{}-{}">{}{}</label>{}{}</p>').format(
            self.id, name, label, optional, inside,
            Markup('<span class="hint" id="{}-{}-hint">{}</span>').format(self.id, name, hint) if hint else "",
        )  # fmt: skip
