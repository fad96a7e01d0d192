import Glibc

/// The target that `APUS_FUZZ_TARGET` names.
private let chosen = getenv("APUS_FUZZ_TARGET").flatMap { FuzzTarget(rawValue: String(cString: $0)) }

/// Called once before the first input: writes the seeds and leaves, where `APUS_FUZZ_SEEDS` names a folder for them.
@c(apus_fuzz_start)
public func startFuzzing() {
    guard let chosen else { fatalError("APUS_FUZZ_TARGET is none of \(FuzzTarget.allCases)") }
    guard let folder = getenv("APUS_FUZZ_SEEDS") else { return }
    for (index, seed) in chosen.seeds.enumerated() {
        guard let file = fopen("\(String(cString: folder))/seed-\(index)", "w") else { fatalError("no seeds written") }
        fwrite(seed, 1, seed.count, file)
        fclose(file)
    }
    exit(0)
}

/// Runs one input of libFuzzer's; what it finds ends the process, which is how libFuzzer is told.
@c(apus_fuzz)
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    do throws(FuzzFinding) {
        try chosen?.run(Array(UnsafeBufferPointer(start: data, count: size)))
    } catch {
        fatalError("\(error)")
    }
    return 0
}
