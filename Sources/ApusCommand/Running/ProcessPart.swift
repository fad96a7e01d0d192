import ApusTransport
import Glibc

/// Which part of a server this process plays, by what it was started with.
enum ProcessPart {
    /// The one that somebody has started.
    case first
    /// Started by a supervisor, which tells it the rest over its control socket.
    case worker(ControlSocket)
    /// A supervisor whose executable has just changed.
    case successor(ExecState)
    /// As ``successor(_:)``, where the executable before was of a version that this one does not understand.
    case stranger

    /// Where a worker finds its control socket.
    private static let control: Int32 = 3

    /// Finds it out, and takes the variables away that tell it: nobody else is meant by them.
    ///
    /// - Parameter isCheck: Whether it is only to be found out if this process could play its part.
    static func take(isCheck: Bool) -> ProcessPart {
        let environment = ProcessEnvironment.variables()
        defer {
            ProcessEnvironment.remove(WorkerEnvironment.variable)
            ProcessEnvironment.remove(ExecState.variable)
        }
        if environment[WorkerEnvironment.variable] != nil, !isCheck {
            if let control = ControlSocket.inherited(control) { return .worker(control) }
            // Our supervisor has ended before we began: there is nobody to work for.
            if Descriptors.isPacketSocket(control) { _exit(ExitStatus.failed) }
        }
        guard let descriptor = environment[ExecState.variable].flatMap({ Int32($0) }),
            let bytes = SealedMemory.read(descriptor)
        else { return .first }
        close(descriptor)
        guard let state = ExecState(encoded: bytes), state.isUsable else { return .stranger }
        // A check is run by the supervisor itself.
        return state.pid == (isCheck ? getppid() : getpid()) ? .successor(state) : .first
    }
}
