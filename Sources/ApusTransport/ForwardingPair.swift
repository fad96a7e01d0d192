import CApusShims
import Glibc

/// The way of datagrams that came to the wrong slot: whoever got one writes it to the owner's `sender`, the
/// owner reads its `receiver`.
///
/// All processes that forward to a slot share its one sender, and so its buffer: that is the bound of what
/// waits (the kernel's limit of messages does not hold for two sockets connected to each other).
package enum ForwardingPair {
    /// What is asked for as the buffer; the system's maximum may be less.
    static let bufferBytes: Int32 = 1 << 20

    /// Makes the two descriptors of a slot, which are the caller's to close.
    package static func make() throws(SystemError) -> (sender: Int32, receiver: Int32) {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let (sender, receiver) = try socketPair(type, bufferBytes: bufferBytes)
        return (sender, receiver)
    }
}
