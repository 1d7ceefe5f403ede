"""The model-agnostic engine: from a caller's job to steps on a device and back as events.

    submit ── Account ──> OneShotScheduler ── Batcher ──> DeviceLoop ── runner
                                                              │
    async for event in ticket <── LocalTicket <── one call per step

Everything left of the device loop runs on the event loop; the loop itself is one thread per device.
The engine knows no proto, no tensor and no architecture: it sees counts of tokens and bytes, and a
runner.
"""
