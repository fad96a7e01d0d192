/// Header or trailer fields: name and value as bytes, in order, several of one name included.
///
/// All bytes lie in one buffer. Look-up by name ignores ASCII case; the fields of a request have lower-case names.
/// The values of requests are checked by the server; those of responses are checked when they are sent.
public struct Headers: Sendable {
    /// Names and values, one behind the other.
    package private(set) var bytes: [UInt8] = []
    /// Where each field lies in `bytes`, in order.
    package private(set) var fields: [Field] = []

    /// The place of one field: its name at `start`, its value right behind.
    package struct Field: Sendable {
        package let start: UInt32
        package let nameCount: UInt32
        package let valueCount: UInt32

        package var nameRange: Range<Int> { Int(start)..<Int(start) + Int(nameCount) }
        package var valueRange: Range<Int> {
            Int(start) + Int(nameCount)..<Int(start) + Int(nameCount) + Int(valueCount)
        }

        /// Fields past 4 GiB in all would not fit their places; limits end far below.
        package init(start: Int, nameCount: Int, valueCount: Int) {
            self.start = UInt32(clamping: start)
            self.nameCount = UInt32(clamping: nameCount)
            self.valueCount = UInt32(clamping: valueCount)
        }
    }

    public init() {}

    /// Fields with room for so many of them and so many bytes of names and values.
    public init(reservingFields fieldCount: Int, bytes byteCount: Int) {
        fields.reserveCapacity(fieldCount)
        bytes.reserveCapacity(byteCount)
    }

    /// Exactly so many fields and bytes, all of which `fill` writes: for parsers that have found every field already.
    package init(
        fieldCount: Int,
        byteCount: Int,
        filledBy fill: (UnsafeMutableBufferPointer<Field>, UnsafeMutableRawBufferPointer) -> Void
    ) {
        // To append nothing is to write a count of 0 into the empty array that all threads share.
        guard fieldCount > 0 else { return }
        // Not by an initialiser of Array, all of which look the element's type up at each call.
        fields.append(addingCapacity: fieldCount) { fields in
            fields.withUnsafeMutableBufferPointer { fields, filledCount in
                bytes.append(addingCapacity: byteCount) { bytes in
                    bytes.withUnsafeMutableBufferPointer { bytes, filledCount in
                        fill(fields, UnsafeMutableRawBufferPointer(bytes))
                        filledCount = byteCount
                    }
                }
                filledCount = fieldCount
            }
        }
    }

    /// The number of fields.
    public var count: Int { fields.count }

    public var isEmpty: Bool { fields.isEmpty }

    /// The bytes of all names and values together.
    package var byteCount: Int { bytes.count }

    /// Adds a field at the end, whether or not there is one of its name.
    public mutating func append(_ name: String, _ value: String) {
        var name = name
        var value = value
        name.withUTF8 { name in
            value.withUTF8 { append(name: UnsafeRawBufferPointer(name), value: UnsafeRawBufferPointer($0)) }
        }
    }

    /// Adds a field at the end, whether or not there is one of its name.
    public mutating func append(_ name: String, _ value: Bytes) {
        var name = name
        name.withUTF8 { name in
            value.withUnsafeBytes { append(name: UnsafeRawBufferPointer(name), value: $0) }
        }
    }

    /// Adds a field from bytes as they are.
    package mutating func append(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        fields.append(Field(start: bytes.count, nameCount: name.count, valueCount: value.count))
        bytes.append(contentsOf: name)
        bytes.append(contentsOf: value)
    }

    /// Adds a field and turns its name into lower case.
    package mutating func append(lowercasing name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        let start = bytes.count
        append(name: name, value: value)
        for index in start..<start + name.count {
            bytes[index] = asciiLowercased(bytes[index])
        }
    }

    /// Adds all fields of another section.
    public mutating func append(contentsOf other: Headers) {
        let offset = bytes.count
        bytes.append(contentsOf: other.bytes)
        for field in other.fields {
            fields.append(
                Field(
                    start: offset + Int(field.start),
                    nameCount: Int(field.nameCount),
                    valueCount: Int(field.valueCount)
                )
            )
        }
    }

    /// Calls `body` with the bytes of each field's name and value, in order; the pointers are valid for the call.
    package func forEachField(_ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void) {
        bytes.withUnsafeBytes { all in
            for field in fields {
                body(
                    UnsafeRawBufferPointer(rebasing: all[field.nameRange]),
                    UnsafeRawBufferPointer(rebasing: all[field.valueRange])
                )
            }
        }
    }

    /// The fields for which `keep` is true, in order.
    package func filtered(_ keep: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool) -> Headers {
        var kept = Headers(reservingFields: count, bytes: byteCount)
        forEachField { name, value in
            if keep(name, value) { kept.append(name: name, value: value) }
        }
        return kept
    }
}

// MARK: - Look-up

extension Headers {
    /// The first value of a name, as text; nil where there is none.
    public subscript(name: String) -> String? {
        guard let index = firstIndex(of: name) else { return nil }
        return String(decoding: bytes[fields[index].valueRange], as: UTF8.self)
    }

    /// All values of a name, as text, in order.
    public subscript(all name: String) -> [String] {
        fields.filter { matches($0, name) }.map { String(decoding: bytes[$0.valueRange], as: UTF8.self) }
    }

    /// The first value of a name, as bytes; nil where there is none.
    public func bytes(of name: String) -> Bytes? {
        guard let index = firstIndex(of: name) else { return nil }
        return Bytes(bytes[fields[index].valueRange])
    }

    /// Whether there is a field of this name.
    public func contains(_ name: String) -> Bool {
        firstIndex(of: name) != nil
    }

    /// Removes all fields of a name.
    public mutating func remove(_ name: String) {
        guard contains(name) else { return }
        var name = name
        self = name.withUTF8 { wanted in
            filtered { found, _ in !asciiCaseInsensitiveEqual(found, UnsafeRawBufferPointer(wanted)) }
        }
    }

    /// Puts one field in the place of all fields of a name.
    public mutating func set(_ name: String, _ value: String) {
        remove(name)
        append(name, value)
    }

    private func firstIndex(of name: String) -> Int? {
        fields.firstIndex { matches($0, name) }
    }

    private func matches(_ field: Field, _ name: String) -> Bool {
        let wanted = name.utf8
        guard wanted.count == Int(field.nameCount) else { return false }
        return zip(bytes[field.nameRange], wanted).allSatisfy { asciiLowercased($0) == asciiLowercased($1) }
    }
}

/// `A` to `Z` in lower case, every other byte as it is.
@inlinable
package func asciiLowercased(_ byte: UInt8) -> UInt8 {
    byte &- 0x41 < 26 ? byte | 0x20 : byte
}

/// Whether two names are the same but for ASCII case.
package func asciiCaseInsensitiveEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    for index in 0..<left.count where asciiLowercased(left[index]) != asciiLowercased(right[index]) {
        return false
    }
    return true
}

// MARK: - Conformances

extension Headers: ExpressibleByDictionaryLiteral {
    /// Fields in the order of the literal; a name may appear more than once.
    public init(dictionaryLiteral elements: (String, String)...) {
        self.init(
            reservingFields: elements.count + 2,
            bytes: elements.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count }
        )
        for (name, value) in elements {
            append(name, value)
        }
    }
}

extension Headers: Sequence {
    /// The fields in order, name and value as text.
    public func makeIterator() -> some IteratorProtocol<(name: String, value: String)> {
        fields.lazy
            .map { field in
                (
                    name: String(decoding: bytes[field.nameRange], as: UTF8.self),
                    value: String(decoding: bytes[field.valueRange], as: UTF8.self)
                )
            }
            .makeIterator()
    }
}

extension Headers: Equatable {
    /// The same names and values, byte for byte, in the same order.
    public static func == (left: Headers, right: Headers) -> Bool {
        left.count == right.count
            && zip(left.fields, right.fields)
                .allSatisfy { a, b in
                    left.bytes[a.nameRange] == right.bytes[b.nameRange]
                        && left.bytes[a.valueRange] == right.bytes[b.valueRange]
                }
    }
}

extension Headers: CustomStringConvertible {
    public var description: String {
        map { "\($0.name): \($0.value)" }.joined(separator: "\n")
    }
}
