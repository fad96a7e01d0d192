import Glibc

/// Dates of fields (RFC 9110 §5.6.7), as seconds since 1970.
enum HTTPDate {
    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// The time of the wall clock.
    static func now() -> Int {
        time(nil)
    }

    /// Writes an IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT`; nil for a year that has not four digits.
    static func text(_ seconds: Int) -> String? {
        var seconds = seconds
        var parts = tm()
        guard gmtime_r(&seconds, &parts) != nil, (-1900...8099).contains(parts.tm_year),
            days.indices.contains(Int(parts.tm_wday)), months.indices.contains(Int(parts.tm_mon))
        else { return nil }
        let date = "\(two(parts.tm_mday)) \(months[Int(parts.tm_mon)]) \(parts.tm_year + 1900)"
        let clock = "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        return "\(days[Int(parts.tm_wday)]), \(date) \(clock) GMT"
    }

    private static func two(_ number: Int32) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }

    /// Reads an IMF-fixdate, or one of the two obsolete forms that a recipient must accept; nil for anything else.
    static func seconds(_ text: String) -> Int? {
        let words = text.split { $0 == " " || $0 == "," || $0 == "-" }
        switch words.count {
        case 6 where words[5] == "GMT":
            // `Sun, 06 Nov 1994 08:49:37 GMT` and RFC 850's `Sunday, 06-Nov-94 08:49:37 GMT`.
            return seconds(day: words[1], month: words[2], year: words[3], clock: words[4])
        case 5:
            // asctime's `Sun Nov  6 08:49:37 1994`.
            return seconds(day: words[2], month: words[1], year: words[4], clock: words[3])
        default:
            return nil
        }
    }

    private static func seconds(day: Substring, month: Substring, year: Substring, clock: Substring) -> Int? {
        let clock = clock.split(separator: ":", omittingEmptySubsequences: false).map { number($0, digits: 2...2) }
        guard let month = months.firstIndex(of: String(month)), let day = number(day, digits: 1...2),
            let year = fullYear(year), clock.count == 3, let hour = clock[0], let minute = clock[1],
            let second = clock[2], (1...31).contains(day), hour < 24, minute < 60, second <= 60
        else { return nil }
        var parts = tm()
        parts.tm_year = year - 1900
        parts.tm_mon = Int32(month)
        parts.tm_mday = day
        parts.tm_hour = hour
        parts.tm_min = minute
        parts.tm_sec = second
        return timegm(&parts)
    }

    /// RFC 9110 §5.6.7: two digits that would be more than 50 years ahead are of the century before.
    private static func fullYear(_ text: Substring) -> Int32? {
        if let year = number(text, digits: 4...4) { return year }
        guard let year = number(text, digits: 2...2) else { return nil }
        var now = now()
        var parts = tm()
        guard gmtime_r(&now, &parts) != nil else { return nil }
        let thisYear = parts.tm_year + 1900
        let candidate = thisYear - thisYear % 100 + year
        return candidate > thisYear + 50 ? candidate - 100 : candidate
    }

    private static func number(_ text: Substring, digits: ClosedRange<Int>) -> Int32? {
        guard digits.contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int32(text)
    }
}
