/// The value of the `date` field.
package enum DateField {
    /// The bytes of every IMF-fixdate.
    package static let count = 29

    /// Writes a time as an IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
    ///
    /// - Parameter unixSeconds: Seconds since 1970; years past 9999 do not fit and are cut to four digits.
    package static func text(unixSeconds: Int) -> [UInt8] {
        let days = (unixSeconds >= 0 ? unixSeconds : unixSeconds - 86399) / 86400
        let second = unixSeconds - days * 86400
        let (year, month, day) = civil(days)
        // 1 January 1970 was a Thursday.
        let weekday = ((days + 4) % 7 + 7) % 7
        var text: [UInt8] = []
        text.reserveCapacity(count)
        text += name(weekday, in: "SunMonTueWedThuFriSat") + Array(", ".utf8)
        text += two(day) + [0x20] + name(month - 1, in: "JanFebMarAprMayJunJulAugSepOctNovDec") + [0x20]
        text += two(year / 100) + two(year) + [0x20]
        text += two(second / 3600) + [0x3A] + two(second / 60 % 60) + [0x3A] + two(second % 60)
        return text + Array(" GMT".utf8)
    }

    private static func name(_ index: Int, in names: StaticString) -> [UInt8] {
        names.withUTF8Buffer { Array($0[index * 3..<index * 3 + 3]) }
    }

    private static func two(_ number: Int) -> [UInt8] {
        [UInt8(ascii: "0") + UInt8(number / 10 % 10), UInt8(ascii: "0") + UInt8(number % 10)]
    }

    /// The date of a day since 1970 in the Gregorian calendar.
    private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
        // Years are counted from 1 March, so that a leap day comes last, in eras of 400 years (146097 days).
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }
}
