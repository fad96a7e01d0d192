import ApusHTTP
import ApusTransport

/// Tells the service manager that a loop turns, twice as often as it wants to hear.
final class WatchdogTimer {
    private let manager: ServiceManager
    private let interval: TimeSpan
    private let loop: EventLoop
    private let timer: LoopTimer

    init(_ manager: ServiceManager, _ interval: TimeSpan, on loop: EventLoop) {
        self.manager = manager
        self.interval = TimeSpan(nanoseconds: interval.nanoseconds / 2)
        self.loop = loop
        timer = LoopTimer(loop: loop)
        timer.handler = self
        timer.set(loop.now)
    }
}

extension WatchdogTimer: TimerHandler {
    func timerFired(now: Instant) {
        manager.notify("WATCHDOG=1")
        timer.set(now + interval)
    }
}
