import ApusHTTP
import CApusShims
import Glibc

/// Signals of the process, delivered on an event loop in the order in which they came.
///
/// The handler only writes the signal's number to a pipe. The same signal, arriving again before the first was delivered,
/// is delivered once, as the kernel itself has it. One queue at a time in a process.
///
/// Confined to its loop's thread once registered.
package final class SignalQueue {
    private let signals: [Int32]
    /// The pipe's ends: for ``ChildProcess/replaceImage(executable:arguments:environment:keeping:)`` to keep, so that the
    /// new image, which adopts them, hears of what was not delivered yet.
    package let output: Int32
    package let input: Int32
    private var handler: ((Int32) -> Void)?
    private var registration: (loop: EventLoop, value: Registration)?
    private var isClosed = false

    /// The variable of the new image's environment that ``handover`` is for.
    package static let variable = APUS_SIGNALS_VARIABLE

    /// What a new image needs to know to catch the signals from its very first moment on.
    package var handover: String {
        ([getpid(), input] + signals).map { String($0) }.joined(separator: " ")
    }

    /// Catches signals from now on; they wait until the queue is registered.
    package static func install(_ signals: [Int32]) throws(SystemError) -> SignalQueue {
        let (output, input) = try Pipe.make()
        return try SignalQueue(signals, output: output, input: input)
    }

    /// As ``install(_:)``, with the pipe of the image that was here before, and the signals in it.
    package static func install(
        _ signals: [Int32],
        adopting output: Int32,
        _ input: Int32
    ) throws(SystemError) -> SignalQueue {
        try SignalQueue(signals, output: output, input: input)
    }

    private init(_ signals: [Int32], output: Int32, input: Int32) throws(SystemError) {
        self.signals = signals
        self.output = output
        self.input = input
        // All stored: what follows may throw, and the deinit then closes the pipe.
        for descriptor in [output, input] {
            guard fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0, fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else {
                throw .last("fcntl")
            }
        }
        let code = apus_signals_install(signals, signals.count, input)
        guard code == 0 else {
            isClosed = true
            Glibc.close(output)
            Glibc.close(input)
            throw SystemError("sigaction", code: -code)
        }
        // Blocked by whoever has started us, or by the image before this one, they would never come.
        let unblocked = apus_signals_unblock()
        guard unblocked == 0 else { throw SystemError("pthread_create", code: -unblocked) }
    }

    deinit {
        close()
    }

    /// Delivers signals on `loop`, those that have come before first.
    package func register(on loop: EventLoop, handler: @escaping (Int32) -> Void) throws(SystemError) {
        precondition(registration == nil && !isClosed, "a queue of signals is registered once")
        self.handler = handler
        registration = (loop, try loop.register(output, handler: self, mode: .level))
    }

    /// Gives the signals their default effect again. Harmless if repeated.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        apus_signals_restore(signals, signals.count)
        if let (loop, value) = registration { loop.deregister(value, descriptor: output) }
        registration = nil
        handler = nil
        Glibc.close(output)
        Glibc.close(input)
    }
}

extension SignalQueue: EventHandler {
    package func handle(_ events: IOEvents) {
        // One at a time, and the rest in the next turns: the handler may close the queue, or put another image in the place
        // of this one, which finds in the pipe what was not delivered.
        var number: [UInt8] = [0]
        guard SystemCall.read(output, &number) == 1 else { return }
        apus_signal_taken(Int32(number[0]))
        handler?(Int32(number[0]))
    }
}
