"""The protocol's messages beside those of others in one process."""

from google.protobuf import descriptor_pool  # type: ignore[import-untyped]  # it has no types

from service.rpc.messages import SERVICE, protocol


def test_messages_keep_what_they_are_given() -> None:
    infer = protocol().messages.ModelInferRequest
    message = infer(model_name="m", raw_input_contents=[b"\x00\xff"])
    read = infer.FromString(message.SerializeToString())
    assert (read.model_name, list(read.raw_input_contents)) == ("m", [b"\x00\xff"])


def test_the_messages_are_made_once() -> None:
    assert protocol() is protocol()


def test_the_default_pool_stays_free_for_other_packages_of_this_name() -> None:
    assert protocol().pool.FindServiceByName(SERVICE)
    ours = descriptor_pool.Default()
    try:
        ours.FindServiceByName(SERVICE)
    except KeyError:
        return
    raise AssertionError(f"{SERVICE} stands in the default pool")
