"""The three LLM protocols (chat completions, messages, responses): requests, replies and event streams, read and
written.

For each protocol there are three modules: `<protocol>_request` (to and from a chat request), `<protocol>_parser`
(replies and streams into events) and `<protocol>_writer` (events into replies and streams). `registry` lists the
protocols.
"""
