import ApusGateway
import CNghttp3

/// Builds the arrays of fields that nghttp3 takes; one for all connections of a thread, so that no head allocates.
final class FieldBlock {
    private var fields: UnsafeMutablePointer<nghttp3_nv>
    private var capacity = 64
    /// The three digits of every status that HTTP knows, 100 to 999.
    private let digits: UnsafeMutablePointer<UInt8>
    private let statusName: StaticString = ":status"

    init() {
        fields = .allocate(capacity: capacity)
        digits = .allocate(capacity: 2700)
        for status in 100..<1000 {
            let place = digits + (status - 100) * 3
            place[0] = UInt8(48 + status / 100)
            place[1] = UInt8(48 + status / 10 % 10)
            place[2] = UInt8(48 + status % 10)
        }
    }

    deinit {
        fields.deallocate()
        digits.deallocate()
    }

    /// Calls `body` with a section's fields; they are valid for the call, and nghttp3 copies them.
    ///
    /// - Parameter status: The `:status` in front; nil for trailers.
    func build(
        status: Int?,
        _ first: Headers,
        _ second: Headers,
        _ body: (UnsafePointer<nghttp3_nv>, Int) -> Int32
    ) -> Int32 {
        reserve(1 + first.count + second.count)
        var count = 0
        if let status {
            let place = digits + (min(max(status, 100), 999) - 100) * 3
            fields[0] = nghttp3_nv(name: statusName.utf8Start, value: place, namelen: 7, valuelen: 3, flags: 0)
            count = 1
        }
        return first.bytes.withUnsafeBufferPointer { firstBytes in
            second.bytes.withUnsafeBufferPointer { secondBytes in
                add(first, firstBytes, &count)
                add(second, secondBytes, &count)
                return body(fields, count)
            }
        }
    }

    private func add(_ headers: Headers, _ bytes: UnsafeBufferPointer<UInt8>, _ count: inout Int) {
        guard let base = bytes.baseAddress else { return }
        for field in headers.fields {
            let name = base + Int(field.start)
            fields[count] = nghttp3_nv(
                name: name,
                value: name + Int(field.nameCount),
                namelen: Int(field.nameCount),
                valuelen: Int(field.valueCount),
                flags: 0
            )
            count += 1
        }
    }

    private func reserve(_ count: Int) {
        guard count > capacity else { return }
        fields.deallocate()
        capacity = count * 2
        fields = .allocate(capacity: capacity)
    }
}
