"""What the scripted provider answers to the SDKs: see `run`. Loaded by stub_upstream.py, whose names it uses."""


def blocks_of(call, kind):
    """The content blocks of this kind in all messages."""
    return [b for m in call.messages if isinstance(m.get("content"), list) for b in m["content"] if b.get("type") == kind]


@scenario("sdk-plain")
def sdk_plain(call):
    return text("forty-two – 四十二", usage={"input_tokens": 11, "output_tokens": 7,
                                          "cache_creation_input_tokens": 300, "cache_read_input_tokens": 1200})


@scenario("sdk-stream")
def sdk_stream(call):
    return text("one two three four five six seven eight", chunk=5, pings=1,
                usage={"input_tokens": 11, "output_tokens": 7})


@scenario("sdk-tools")
def sdk_tools(call):
    got = call.results()
    if not got:
        return Reply([{"type": "text", "text": "I ask twice."},
                      {"type": "tool_use", "id": "toolu_a+/=1", "name": "add", "input": {"a": 1, "b": [2, "é"]}},
                      {"type": "tool_use", "id": "toolu_b+/=2", "name": "add", "input": {}}])
    uses = [(b["id"], b["input"]) for b in blocks_of(call, "tool_use")]
    kept = uses == [("toolu_a+/=1", {"a": 1, "b": [2, "é"]}), ("toolu_b+/=2", {})]
    return text("TOOLS-KEPT" if kept and [g[0] for g in got] == ["toolu_a+/=1", "toolu_b+/=2"] else "TOOLS-LOST")


@scenario("sdk-thinking")
def sdk_thinking(call):
    signature = "Eq+/" * 40 + "AA=="
    back = blocks_of(call, "thinking")
    if not back:
        return Reply([{"type": "thinking", "thinking": "hm – \"x\"\n", "signature": signature},
                      {"type": "text", "text": "First."}])
    kept = [(b["thinking"], b["signature"]) for b in back] == [("hm – \"x\"\n", signature)]
    return text("THINKING-KEPT" if kept else "THINKING-LOST")


@scenario("sdk-cache")
def sdk_cache(call):
    marks = [b.get("cache_control") for b in call.body.get("system") or [] if isinstance(b, dict)]
    marks += [b.get("cache_control") for b in blocks_of(call, "text")]
    if [m for m in marks if m] != [{"type": "ephemeral", "ttl": "1h"}, {"type": "ephemeral"}]:
        return text("CACHE-LOST %s" % marks)
    return text("CACHE-KEPT", usage={"cache_creation_input_tokens": 30, "cache_read_input_tokens": 4,
                                     "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}})


@scenario("sdk-image")
def sdk_image(call):
    sources = [b["source"] for b in blocks_of(call, "image") + blocks_of(call, "document")]
    kept = [hashlib.sha256(s["data"].encode()).hexdigest()[:8] for s in sources]
    return text(" ".join(kept))


@scenario("sdk-error")
def sdk_error(call):
    status = int(call.arg("status"))
    kinds = {400: "invalid_request_error", 429: "rate_limit_error", 529: "overloaded_error"}
    return error(status, kinds[status], "what was wrong: %d" % status)


@scenario("sdk-break")
def sdk_break(call):
    return text("never all of this", mid_stream_error=(1, "overloaded_error", "in the middle"), chunk=4)


@scenario("sdk-new")
def sdk_new(call):
    return text("MODEL %s FIELD %s" % (call.model, (call.body.get("a_field_of_tomorrow") or {}).get("x")))
