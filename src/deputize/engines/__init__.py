"""What answers a request: any OpenAI-compatible server, a local specialist, a scripted one."""
