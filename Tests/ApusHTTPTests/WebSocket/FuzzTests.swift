import FuzzTargets
import Glibc
import Testing

struct FuzzTests {
    @Test(arguments: FuzzTarget.allCases)
    func `good conversations keep every promise`(_ target: FuzzTarget) throws {
        for seed in target.seeds { try target.run(seed) }
    }

    /// Whatever fuzzing has found lies in Fuzz/Findings/<target>, one input a file.
    @Test(arguments: FuzzTarget.allCases)
    func `what fuzzing has found is mended`(_ target: FuzzTarget) throws {
        for input in findings(of: target) {
            #expect(throws: Never.self, "\(input.name)") { try target.run(input.bytes) }
        }
    }

    @Test(arguments: FuzzTarget.allCases)
    func `good conversations with single bytes changed keep every promise`(_ target: FuzzTarget) throws {
        var generator = SeededGenerator(state: 1)
        for seed in target.seeds {
            for _ in 0..<2 {
                var mutated = seed
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    let position = Int.random(in: mutated.indices, using: &generator)
                    mutated[position] = UInt8.random(in: 0...255, using: &generator)
                }
                #expect(throws: Never.self, "\(mutated)") { try target.run(mutated) }
            }
        }
    }

    private func findings(of target: FuzzTarget) -> [(name: String, bytes: [UInt8])] {
        let root = #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        let folder = "/\(root)/Fuzz/Findings/\(target.rawValue)"
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var findings: [(name: String, bytes: [UInt8])] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard !name.hasPrefix("."), let file = fopen("\(folder)/\(name)", "r") else { continue }
            defer { fclose(file) }
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = fread(&bytes, 1, bytes.count, file)
            findings.append((name, Array(bytes.prefix(count))))
        }
        return findings.sorted { $0.name < $1.name }
    }
}
