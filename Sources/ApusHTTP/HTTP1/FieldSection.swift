import ApusGateway

/// The field lines of a head or of trailers, found and checked where they lie (RFC 9112 §5).
struct FieldSection {
    /// Where one field's name and value lie in the input.
    struct Place {
        var name: Int32 = 0
        var nameCount: Int32 = 0
        var value: Int32 = 0
        var valueCount: Int32 = 0
    }

    private enum Outcome {
        /// The empty line is not there yet.
        case incomplete
        /// The empty line ends right before this offset.
        case complete(end: Int)
        /// There is no room for another place.
        case full
    }

    let base: UnsafeRawPointer
    let maxSize: Int
    /// Room for the fields' places.
    let places: UnsafeMutableBufferPointer<Place>
    /// How many places are filled.
    private(set) var count = 0
    /// The bytes of all names and values.
    private(set) var byteCount = 0

    /// - Parameter base: The input; it outlives this value.
    private init(base: UnsafeRawPointer, maxSize: Int, places: UnsafeMutableBufferPointer<Place>) {
        self.base = base
        self.maxSize = maxSize
        self.places = places
    }

    /// Reads the section that begins at `start` and makes something of it and the offset behind its empty line; nil where
    /// the section is not complete.
    static func read<Value>(
        _ base: UnsafeRawPointer,
        from start: Int,
        to end: Int,
        _ limits: HeadLimits,
        _ make: (FieldSection, Int) throws(RequestRefusal) -> Value
    ) throws(RequestRefusal) -> Value? {
        // On the stack: enough for the usual request.
        var store = InlineArray<64, Place>(repeating: Place())
        let usual = min(store.count, limits.fieldCount)
        let few = try withUnsafeMutablePointer(to: &store) { store throws(RequestRefusal) in
            // An inline array is its elements, one behind the other; `usual` is at most their number.
            let places = UnsafeMutableRawPointer(store).assumingMemoryBound(to: Place.self)
            return try attempt(base, from: start, to: end, limits, .init(start: places, count: usual), make)
        }
        switch few {
        case .incomplete: return nil
        case .made(let value): return value
        case .full: return try readMany(base, from: start, to: end, limits, make)
        }
    }

    /// Reads a section with more fields than usual: with room for as many as there may be.
    private static func readMany<Value>(
        _ base: UnsafeRawPointer,
        from start: Int,
        to end: Int,
        _ limits: HeadLimits,
        _ make: (FieldSection, Int) throws(RequestRefusal) -> Value
    ) throws(RequestRefusal) -> Value? {
        let places = UnsafeMutableBufferPointer<Place>.allocate(capacity: limits.fieldCount)
        defer { places.deallocate() }
        switch try attempt(base, from: start, to: end, limits, places, make) {
        case .incomplete: return nil
        case .made(let value): return value
        case .full: throw .tooManyFields
        }
    }

    private enum Attempt<Value> {
        case incomplete
        case full
        case made(Value)
    }

    private static func attempt<Value>(
        _ base: UnsafeRawPointer,
        from start: Int,
        to end: Int,
        _ limits: HeadLimits,
        _ places: UnsafeMutableBufferPointer<Place>,
        _ make: (FieldSection, Int) throws(RequestRefusal) -> Value
    ) throws(RequestRefusal) -> Attempt<Value> {
        var section = FieldSection(base: base, maxSize: limits.fieldSectionSize, places: places)
        switch try section.parse(from: start, to: end) {
        case .incomplete: return .incomplete
        case .full: return .full
        case .complete(let end): return .made(try make(section, end))
        }
    }

    /// Reads lines from `start` to the empty line.
    private mutating func parse(from start: Int, to available: Int) throws(RequestRefusal) -> Outcome {
        // White space around values is not counted as the fields' size, so the raw section has a bound of its own.
        let end = available - start > maxSize + 2 ? start + maxSize + 2 : available
        var index = start
        while index < end {
            if base.load(fromByteOffset: index, as: UInt8.self) == UInt8(ascii: "\r") {
                guard index + 1 < end else { break }
                guard base.load(fromByteOffset: index + 1, as: UInt8.self) == UInt8(ascii: "\n") else {
                    throw .malformed("a CR without LF")
                }
                return .complete(end: index + 2)
            }
            guard count < places.count else { return .full }
            guard let next = try parseLine(from: index, to: end) else { break }
            index = next
        }
        if end < available { throw .sectionTooLarge }
        return .incomplete
    }

    /// Reads one line and returns the start of the next; nil where the input ends before.
    private mutating func parseLine(from start: Int, to end: Int) throws(RequestRefusal) -> Int? {
        var index = start
        while index < end, FieldRules.isTokenCharacter(base.load(fromByteOffset: index, as: UInt8.self)) { index += 1 }
        guard index < end else { return nil }
        let nameEnd = index
        guard base.load(fromByteOffset: index, as: UInt8.self) == UInt8(ascii: ":"), nameEnd > start else {
            throw Self.refusal(
                ofNameEnding: base.load(fromByteOffset: index, as: UInt8.self),
                isEmpty: nameEnd == start
            )
        }
        index += 1
        while index < end, isBlank(at: index) { index += 1 }
        let valueStart = index
        index = ByteScan.firstControl(base, from: index, to: end)
        while index < end, base.load(fromByteOffset: index, as: UInt8.self) == 0x09 {
            index = ByteScan.firstControl(base, from: index + 1, to: end)
        }
        guard index < end else { return nil }
        guard base.load(fromByteOffset: index, as: UInt8.self) == UInt8(ascii: "\r") else {
            // RFC 9110 §5.5; RFC 9112 §2.2 lets a recipient take a bare LF for a line end, which we do not.
            throw .malformed("a control character in a field value")
        }
        guard index + 1 < end else { return nil }
        guard base.load(fromByteOffset: index + 1, as: UInt8.self) == UInt8(ascii: "\n") else {
            throw .malformed("a CR without LF")
        }
        var valueEnd = index
        while valueEnd > valueStart, isBlank(at: valueEnd - 1) { valueEnd -= 1 }
        try record(name: start..<nameEnd, value: valueStart..<valueEnd)
        return index + 2
    }

    private func isBlank(at index: Int) -> Bool {
        let byte = base.load(fromByteOffset: index, as: UInt8.self)
        return byte == 0x20 || byte == 0x09
    }

    private mutating func record(name: Range<Int>, value: Range<Int>) throws(RequestRefusal) {
        byteCount += name.count + value.count
        guard byteCount + 32 * (count + 1) <= maxSize else { throw .sectionTooLarge }
        // The offsets lie within the section and line limits, far below 2 GiB; `count < places.count` was checked.
        places.initializeElement(
            at: count,
            to: Place(
                name: Int32(truncatingIfNeeded: name.lowerBound),
                nameCount: Int32(truncatingIfNeeded: name.count),
                value: Int32(truncatingIfNeeded: value.lowerBound),
                valueCount: Int32(truncatingIfNeeded: value.count)
            )
        )
        count += 1
    }

    private static func refusal(ofNameEnding byte: UInt8, isEmpty: Bool) -> RequestRefusal {
        switch (byte, isEmpty) {
        case (0x20, true), (0x09, true): .malformed("a folded field line")  // RFC 9112 §5.2
        case (0x20, false), (0x09, false): .malformed("white space before the colon of a field")  // RFC 9112 §5.1
        case (UInt8(ascii: ":"), true): .malformed("a field without a name")
        case (UInt8(ascii: "\r"), _), (UInt8(ascii: "\n"), _): .malformed("a field line without a colon")
        default: .malformed("a character that a field name cannot have")
        }
    }

    // MARK: Result

    /// The name of a field, as it came.
    func name(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Int(places[index].name), count: Int(places[index].nameCount))
    }

    /// The value of a field, without white space around it.
    func value(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Int(places[index].value), count: Int(places[index].valueCount))
    }

    /// The fields with lower-case names; `first`, where given, leads, with `firstValue` in place of its value.
    func headers(first: Int? = nil, firstValue: UnsafeRawBufferPointer? = nil) -> Headers {
        var size = byteCount
        if let first, let firstValue { size += firstValue.count - value(first).count }
        return Headers(fieldCount: count, byteCount: size) { fields, bytes in
            var writer = Writer(fields: fields, bytes: bytes)
            if let first { writer.write(name: name(first), value: firstValue ?? value(first)) }
            for index in 0..<count where index != first {
                writer.write(name: name(index), value: value(index))
            }
        }
    }

    /// Fills the two buffers of a `Headers`.
    private struct Writer {
        let fields: UnsafeMutableBufferPointer<Headers.Field>
        let bytes: UnsafeMutableRawBufferPointer
        var count = 0
        var used = 0

        mutating func write(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
            let valueStart = used + name.count
            // The buffers have just the size of all fields together; without a field there are no buffers and no call.
            guard let target = bytes.baseAddress, let source = name.baseAddress,
                valueStart + value.count <= bytes.count
            else { return }
            for index in 0..<name.count {
                let byte = source.load(fromByteOffset: index, as: UInt8.self)
                target.storeBytes(of: asciiLowercased(byte), toByteOffset: used + index, as: UInt8.self)
            }
            if let source = value.baseAddress { (target + valueStart).copyMemory(from: source, byteCount: value.count) }
            fields.initializeElement(
                at: count,
                to: Headers.Field(start: used, nameCount: name.count, valueCount: value.count)
            )
            count += 1
            used = valueStart + value.count
        }
    }
}
