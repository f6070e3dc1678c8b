"""The field `file` of a form, written to a file while the form arrives."""

from http import HTTPStatus
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from trainer.serve.service_error import ServiceError

FIELD = "file"
# A form needs one field. Browsers and tools may add a few.
MAX_FIELDS = 8


class MultipartFile:
    """Takes the chunks of a form and writes the content of its file. The name that the client gives it is not used."""

    def __init__(self, boundary: bytes | None, *, target: BinaryIO, max_bytes: int) -> None:
        """Begins a form.

        Args:
            boundary: The boundary in the content type.
            target: What the content is written to.
            max_bytes: The size of the largest file.

        Raises:
            ServiceError: The content type has no boundary.
        """
        if not boundary:
            raise _malformed("the content type has no boundary")
        self._target = target
        self._bytes_left = max_bytes
        self._num_fields = 0
        self._has_file = False
        self._is_file = False
        self._is_complete = False
        self._header_name = self._header_value = b""
        self._disposition = b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._add_header_name,
                    "on_header_value": self._add_header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._add_data,
                    "on_end": self._end,
                },
            )
        except (FormParserError, ValueError) as error:
            raise _malformed(str(error)) from error

    def write(self, chunk: bytes) -> None:
        """Takes the next bytes of the form.

        Raises:
            ServiceError: The form is malformed, has too many fields, several files, or a file that is too large.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _malformed(str(error)) from error

    def finish(self) -> None:
        """Checks that the form was complete and had a file.

        Raises:
            ServiceError: It was not, or had none.
        """
        if not self._is_complete:
            raise _malformed("its last boundary is missing")
        if not self._has_file:
            raise ServiceError(HTTPStatus.BAD_REQUEST, "no_file", f"The form has no field {FIELD}.")

    def _begin_part(self) -> None:
        self._num_fields += 1
        if self._num_fields > MAX_FIELDS:
            raise ServiceError(
                HTTPStatus.BAD_REQUEST, "too_many_fields", f"The form has more than {MAX_FIELDS} fields."
            )
        self._is_file = False
        self._disposition = b""

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._is_file = options.get(b"name") == FIELD.encode()
        if self._is_file and self._has_file:
            raise ServiceError(HTTPStatus.BAD_REQUEST, "too_many_files", f"The form has several fields {FIELD}.")
        self._has_file = self._has_file or self._is_file

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._bytes_left -= end - start
            if self._bytes_left < 0:
                raise ServiceError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The file has too many bytes.")
            self._target.write(data[start:end])

    def _end(self) -> None:
        self._is_complete = True


def _malformed(details: str) -> ServiceError:
    return ServiceError(HTTPStatus.BAD_REQUEST, "malformed_form", f"The form cannot be read: {details}.")
