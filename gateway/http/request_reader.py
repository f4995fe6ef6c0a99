"""HTTP requests turned into messages, by the rules of their binding."""

from collections.abc import Iterator, Sequence

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.http.bindings import Binding
from gateway.http.errors import InvalidRequestError
from gateway.http.json_text import Json, JsonError, parse_json
from gateway.http.query import decode, place, query_tree, variable_value
from gateway.http.reading import BODY, read_field, read_message
from servicekit.errors import FieldViolation

#: Lines that become one message of a stream, where a line is one element of it. Fewer than any of our RPCs takes.
_LINES_PER_MESSAGE = 250


class RequestReader:
    """Makes the messages of one binding."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._kind = binding.rpc.input_type
        self._class = GetMessageClass(self._kind)
        self._variables = {name: binding.fields_of(name) for name in binding.template.variables}

    def message(self, body: bytes, query: str, variables: dict[str, str]) -> bytes:
        """The serialized message of a whole request. What the path says wins over the body.

        Raises InvalidRequestError.
        """
        message = self._class()
        self._read_body(body, message)
        elsewhere: dict[str, Json] = {}
        for name, raw in variables.items():
            fields = self._variables[name]
            place(elsewhere, fields, variable_value(fields[-1], decode(raw, name)))
        taken = {fields[0].name for fields in self._variables.values()}
        # With the whole request in the body nothing is left for the query string.
        taken.update(self._kind.fields_by_name if self._binding.body == "*" else [self._binding.body])
        elsewhere.update(query_tree(query, self._kind, taken=taken))
        if elsewhere:
            other = self._class()
            read_message(elsewhere, other)
            message.MergeFrom(other)
        return message.SerializeToString()

    def messages(self, lines: Sequence[bytes], first: int) -> Iterator[bytes]:
        """The serialized messages of some lines of a stream, of which the first one has the number `first`.

        A line is a message, or one element of the repeated field that the binding names as its body. Raises
        InvalidRequestError, naming the line by its number, from 0, after the messages before it.
        """
        if self._binding.body == "*":
            for number, line in enumerate(lines, first):
                message = self._class()
                _read_line(line, message, number)
                yield message.SerializeToString()
            return
        for start in range(0, len(lines), _LINES_PER_MESSAGE):
            message = self._class()
            elements = getattr(message, self._binding.body)
            for number, line in enumerate(lines[start : start + _LINES_PER_MESSAGE], first + start):
                try:
                    _read_line(line, elements.add(), number)
                except InvalidRequestError:
                    del elements[-1]
                    if elements:
                        yield message.SerializeToString()
                    raise
            yield message.SerializeToString()

    def refuse_query(self, query: str) -> None:
        """A stream takes nothing from its query string. Raises InvalidRequestError."""
        query_tree(query, self._kind, taken=self._kind.fields_by_name)

    def _read_body(self, body: bytes, message: Message) -> None:
        if not body:  # the same as `{}`
            return
        if not self._binding.body:
            description = f"is not read by {self._binding.http_method} {self._binding.template.text}"
            raise InvalidRequestError([FieldViolation(BODY, description)])
        try:
            tree = parse_json(body)
        except JsonError as error:
            raise InvalidRequestError([FieldViolation(BODY, str(error))]) from None
        if self._binding.body == "*":
            read_message(tree, message)
        else:
            read_field(tree, message, self._kind.fields_by_name[self._binding.body])


def _read_line(line: bytes, message: Message, number: int) -> None:
    at = f"lines[{number}]"
    try:
        read_message(parse_json(line), message)
    except JsonError as error:
        raise InvalidRequestError([FieldViolation(at, str(error))]) from None
    except InvalidRequestError as error:
        raise InvalidRequestError(
            [
                FieldViolation(at if each.field == BODY else f"{at}.{each.field}", each.description)
                for each in error.violations
            ]
        ) from None
