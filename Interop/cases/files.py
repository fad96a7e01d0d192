"""Static files, and nothing outside their folder."""

import os

from lib.case import case
from lib.curl import curl
from lib.protocols import EVERY
from lib.report import expect, same

SIZE = 5_000_000


def site(world):
    """A folder to serve, and what lies beside it; made once."""
    folder = world.path("site")
    if not os.path.exists(folder):
        os.makedirs(f"{folder}/inner")
        for name, text in {"inner/index.html": "<p>inner</p>", "style.css": "p {}", "a b.txt": "spaced"}.items():
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)
        with open(world.path("secret.txt"), "w") as secret:
            secret.write("secret")
        os.symlink(world.path("secret.txt"), f"{folder}/link.txt")
        os.rename(world.file(SIZE, "large-once"), f"{folder}/large.bin")
    return folder


def served(world):
    return world.server(f"files:{site(world)}")


def large(world, first=0, last=SIZE):
    with open(f"{site(world)}/large.bin", "rb") as file:
        return file.read()[first : last + 1]


@case("file", EVERY)
def whole_file(world, protocol):
    reply = curl(world, protocol, served(world).url(protocol, "/large.bin"))
    same(reply.get("content-length"), str(SIZE), "the content-length")
    same(reply.get("accept-ranges"), "bytes", "accept-ranges")
    expect(reply.body == large(world), "the file arrived changed")


@case("file-range", EVERY)
def file_range(world, protocol):
    url = served(world).url(protocol, "/large.bin")
    reply = curl(world, protocol, "--range", "1000-1999999", url, status=206)
    same(reply.get("content-range"), f"bytes 1000-1999999/{SIZE}", "the content-range")
    expect(reply.body == large(world, 1000, 1999999), "the range arrived changed")
    suffix = curl(world, protocol, "--range", "-100", url, status=206)
    expect(suffix.body == large(world)[-100:], "the last hundred bytes arrived changed")
    beyond = curl(world, protocol, "--range", f"{SIZE}-", url, status=416)
    same(beyond.get("content-range"), f"bytes */{SIZE}", "the content-range beyond the end")


@case("file-unchanged", EVERY)
def file_unchanged(world, protocol):
    url = served(world).url(protocol, "/style.css")
    reply = curl(world, protocol, url)
    expect((reply.get("content-type") or "").startswith("text/css"), f"the content-type is {reply.get('content-type')}")
    for field in (f"If-None-Match: {reply.get('etag')}", f"If-Modified-Since: {reply.get('last-modified')}"):
        again = curl(world, protocol, "-H", field, url, status=304)
        same(again.facts["size_download"], 0, "the size of the body")
    curl(world, protocol, "-H", 'If-None-Match: "other"', url)


@case("file-head", EVERY)
def file_head(world, protocol):
    reply = curl(world, protocol, "--head", served(world).url(protocol, "/large.bin"))
    same(reply.get("content-length"), str(SIZE), "the content-length")


@case("file-names", EVERY)
def file_names(world, protocol):
    server = served(world)
    same(curl(world, protocol, server.url(protocol, "/inner/")).text, "<p>inner</p>", "the folder's index")
    same(curl(world, protocol, server.url(protocol, "/a%20b.txt")).text, "spaced", "the file with a space")
    curl(world, protocol, server.url(protocol, "/nothing"), status=404)


OUTSIDE = ("/../secret.txt", "/inner/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "//../secret.txt")


@case("files-outside", EVERY)
def files_outside(world, protocol):
    server = served(world)
    for path in (*OUTSIDE, "/link.txt", "/style.css%00.html"):
        reply = curl(world, protocol, "--path-as-is", server.url(protocol, path), status=None)
        expect(400 <= reply.status < 500, f"{path} is answered with {reply.status}")
        expect("secret" not in reply.text.replace("secret.txt", ""), f"{path} gives away what lies outside")


@case("file-method", EVERY)
def file_method(world, protocol):
    reply = curl(world, protocol, "-X", "DELETE", served(world).url(protocol, "/style.css"), status=405)
    expect("GET" in (reply.get("allow") or ""), f"allow is {reply.get('allow')}")
