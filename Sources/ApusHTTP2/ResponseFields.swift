import ApusGateway
import CNghttp2

/// The fields of one response as the library takes them, built in an allocation that every response uses again.
struct ResponseFields: ~Copyable {
    /// What is kept between responses.
    private static let retainedCapacity = 64

    private var storage = UnsafeMutableBufferPointer<nghttp2_nv>.allocate(capacity: retainedCapacity)

    init() {}

    deinit {
        storage.deallocate()
    }

    /// Calls `submit` with a status, where there is one, and the fields of both sections.
    ///
    /// The pointers are valid for the call: the library copies names and values, and turns names into lower case.
    mutating func with(
        status: Int?,
        _ first: Headers,
        _ second: Headers = Headers(),
        submit: (UnsafeBufferPointer<nghttp2_nv>) -> Int32
    ) -> Int32 {
        reserve(first.count + second.count + 1)
        return first.bytes.withUnsafeBytes { firstBytes in
            second.bytes.withUnsafeBytes { secondBytes in
                var count = 0
                if let status {
                    storage[0] = Self.statusField(status)
                    count = 1
                }
                fill(first.fields, firstBytes, &count)
                fill(second.fields, secondBytes, &count)
                return submit(UnsafeBufferPointer(rebasing: storage[0..<count]))
            }
        }
    }

    private mutating func reserve(_ capacity: Int) {
        guard capacity > storage.count || storage.count > Self.retainedCapacity else { return }
        storage.deallocate()
        storage = .allocate(capacity: max(capacity, Self.retainedCapacity))
    }

    private func fill(_ fields: [Headers.Field], _ bytes: UnsafeRawBufferPointer, _ count: inout Int) {
        guard let base = bytes.baseAddress else { return }
        // The library only reads, although its type has mutable pointers.
        let start = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: UInt8.self))
        for field in fields {
            let name = start + Int(field.start)
            storage[count] = nghttp2_nv(
                name: name,
                value: name + Int(field.nameCount),
                namelen: Int(field.nameCount),
                valuelen: Int(field.valueCount),
                flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)
            )
            count += 1
        }
    }

    // MARK: Status

    /// `:status` with its three digits, from memory that lives as long as the process.
    private static func statusField(_ status: Int) -> nghttp2_nv {
        let known = min(max(status, 0), statusLimit - 1)
        return nghttp2_nv(
            name: UnsafeMutablePointer(mutating: statusName.utf8Start),
            value: statusDigits + known * 3,
            namelen: statusName.utf8CodeUnitCount,
            valuelen: 3,
            flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue)
        )
    }

    private static let statusName: StaticString = ":status"
    private static let statusLimit = 1000

    /// `000` to `999`, one behind the other; written once, only read then.
    private nonisolated(unsafe) static let statusDigits: UnsafeMutablePointer<UInt8> = {
        let digits = UnsafeMutablePointer<UInt8>.allocate(capacity: statusLimit * 3)
        for status in 0..<statusLimit {
            digits[status * 3] = UInt8(ascii: "0") + UInt8(status / 100)
            digits[status * 3 + 1] = UInt8(ascii: "0") + UInt8(status / 10 % 10)
            digits[status * 3 + 2] = UInt8(ascii: "0") + UInt8(status % 10)
        }
        return digits
    }()
}
