"""The reader of one HTTP answer (phone/http.py)."""

from phone.http import BUFFER, MAX_HEAD, Answer, AnswerError, http_date, request
from ras.keyfile import MAX_FILE

from support import raises

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def fed(data, piece=BUFFER):
    """Return the Answer after `data` in pieces of that size, or of what it has space for."""
    answer = Answer(bytearray(BUFFER))
    at = 0
    while at < len(data) and not answer.complete:
        space = answer.space()
        count = min(piece, len(space), len(data) - at)
        assert count > 0
        space[:count] = data[at : at + count]
        answer.grown(count)
        at += count
    return answer


def http(body, *fields):
    head = ["HTTP/1.1 200 OK", "Content-Length: " + str(len(body)), "date:" + DATE]
    head.extend(fields)
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def test_any_piece_gives_the_same():
    data = http(b"VERSION 1\n" * 9)
    for piece in (1, 2, 3, 5, 64, len(data), BUFFER):
        answer = fed(data, piece)
        assert answer.complete
        assert (answer.status, answer.date, answer.body()) == (200, DATE, b"VERSION 1\n" * 9)
        assert not fed(data[:-1], piece).complete


def test_the_largest_that_is_taken():
    body = b"#" * MAX_FILE
    padding = "X: " + "x" * (MAX_HEAD - len(http(body, "X: ")) + len(body))
    answer = fed(http(body, padding))
    assert answer.complete
    assert answer.body() == body
    with raises(AnswerError):
        fed(http(body, padding + "x"))
    with raises(AnswerError):
        fed(http(body + b"#"))


def test_a_refusal_needs_no_body():
    answer = fed(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\n\r\n")
    assert answer.complete
    assert answer.status == 429


def test_what_is_behind_the_body_is_left_alone():
    assert fed(http(b"abc") + b"more").body() == b"abc"


def test_what_is_no_answer():
    for data in (
        b"\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \xff\r\n\r\n",
    ):
        with raises(AnswerError):
            fed(data)


def test_the_request():
    assert request("h:1", "/p?ext=1") == (
        b"GET /p?ext=1 HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\nAccept: text/plain\r\n\r\n"
    )


def test_http_dates():
    assert http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777
    assert http_date("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert http_date("Thu, 29 Feb 2024 23:59:59 GMT") == 1709251199
    assert http_date("Mon, 01 Mar 2100 00:00:00 GMT") == 4107542400
    for wrong in (
        "",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 anF 1994 08:49:37 GMT",
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 0x Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
    ):
        assert http_date(wrong) is None, wrong
