import CApusShims
import Glibc

extension BoundSocket {
    /// Lets further sockets of this user bind the same address (SO_REUSEPORT), or no more.
    ///
    /// A first socket that was bound without it and admits the others afterwards has shown that nobody else has the address:
    /// bound with it, it would have joined the group of another server of the same user without a word. The kernel forms
    /// the group, with this socket as slot 0, when the second one joins.
    package func admitOthers(_ admits: Bool) throws(SystemError) {
        try setOption(descriptor, SOL_SOCKET, SO_REUSEPORT, admits ? 1 : 0)
    }
}
