import CApusShims
import Glibc

/// A pipe whose reading end does not block; both ends are closed on exec.
enum Pipe {
    static func make() throws(SystemError) -> (output: Int32, input: Int32) {
        var ends: [Int32] = [-1, -1]
        let code = apus_pipe(&ends)
        guard code == 0 else { throw SystemError("pipe2", code: -code) }
        guard fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 else {
            let error = SystemError.last("fcntl")
            ends.forEach { close($0) }
            throw error
        }
        return (ends[0], ends[1])
    }
}
