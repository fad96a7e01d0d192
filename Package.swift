// swift-tools-version: 6.2

import PackageDescription

/// Every Swift target is compiled alike: language mode 6 (the tools version's default), the upcoming
/// features that keep existentials and hops visible, and, where `APUS_STRICT` is set, no warning at all.
let strict = Context.environment["APUS_STRICT"] != nil
let settings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ] + (strict ? [.treatAllWarnings(as: .error)] : [])

let package = Package(
    name: "Apus",
    products: [
        .library(name: "Apus", targets: ["Apus"]),
        .library(name: "ApusCommand", targets: ["ApusCommand"]),
        .library(name: "ApusGateway", targets: ["ApusGateway"]),
        .executable(name: "apus", targets: ["ApusCLI"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0", traits: []),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        // Floor 5: the built-in applications.
        .executableTarget(
            name: "ApusCLI",
            dependencies: [
                "Apus", "ApusCommand",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: settings
        ),
        // What the interop cases ask; no product.
        .executableTarget(
            name: "interop-app",
            dependencies: ["ApusCommand"],
            path: "Interop/App",
            swiftSettings: settings
        ),
        // Floor 4: the command line.
        .target(
            name: "ApusCommand",
            dependencies: [
                "Apus", "ApusHTTP", "ApusTransport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        // Floor 3: the server.
        .target(
            name: "Apus",
            dependencies: [
                "ApusGateway", "ApusHTTP", "ApusHTTP2", "ApusHTTP3", "ApusTLS", "ApusTransport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        // Floor 2: mechanism.
        .target(
            name: "ApusTransport",
            dependencies: ["ApusHTTP", "CApusShims"],
            swiftSettings: settings
        ),
        .target(name: "ApusTLS", dependencies: ["ApusHTTP", "COpenSSL"], swiftSettings: settings),
        .target(
            name: "ApusHTTP2",
            dependencies: ["ApusGateway", "ApusHTTP", "CNghttp2"],
            swiftSettings: settings
        ),
        .target(
            name: "ApusHTTP3",
            dependencies: ["ApusGateway", "ApusHTTP", "CGnuTLS", "CNghttp3", "CNgtcp2"],
            swiftSettings: settings
        ),
        // Floor 1: protocol rules.
        .target(name: "ApusHTTP", dependencies: ["ApusGateway", "CZlib"], swiftSettings: settings),
        // Floor 0: the application contract.
        .target(
            name: "ApusGateway",
            dependencies: [.product(name: "HTTPTypes", package: "swift-http-types")],
            swiftSettings: settings
        ),
        // C libraries, and the few lines that Swift cannot say.
        .target(name: "CApusShims"),
        .systemLibrary(
            name: "CZlib",
            pkgConfig: "zlib",
            providers: [.apt(["zlib1g-dev"])]
        ),
        .systemLibrary(
            name: "COpenSSL",
            pkgConfig: "openssl",
            providers: [.apt(["libssl-dev"])]
        ),
        .systemLibrary(
            name: "CNghttp2",
            pkgConfig: "libnghttp2",
            providers: [.apt(["libnghttp2-dev"])]
        ),
        .systemLibrary(
            name: "CNgtcp2",
            pkgConfig: "libngtcp2_crypto_gnutls",
            providers: [.apt(["libngtcp2-dev", "libngtcp2-crypto-gnutls-dev"])]
        ),
        .systemLibrary(
            name: "CNghttp3",
            pkgConfig: "libnghttp3",
            providers: [.apt(["libnghttp3-dev"])]
        ),
        .systemLibrary(
            name: "CGnuTLS",
            pkgConfig: "gnutls",
            providers: [.apt(["libgnutls28-dev"])]
        ),
        // What fuzzing drives, with the peers that it needs; the tests replay what it has found.
        .target(
            name: "FuzzTargets",
            dependencies: ["ApusGateway", "ApusHTTP", "CZlib"],
            path: "Fuzz/Targets",
            swiftSettings: settings
        ),
        // Tests, and the clients that several of them share.
        .target(
            name: "ApusTestClients",
            dependencies: [
                "ApusGateway", "ApusHTTP", "CGnuTLS", "CNghttp2", "CNghttp3", "CNgtcp2", "CZlib",
            ],
            path: "Tests/Support/ApusTestClients",
            swiftSettings: settings
        ),
        .testTarget(name: "ApusGatewayTests", dependencies: ["ApusGateway"], swiftSettings: settings),
        .testTarget(
            name: "ApusHTTPTests",
            dependencies: ["ApusGateway", "ApusHTTP", "CZlib", "FuzzTargets"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ApusTransportTests",
            dependencies: ["ApusHTTP", "ApusTransport", "CApusShims"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ApusTLSTests",
            dependencies: ["ApusTLS", "COpenSSL"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ApusHTTP2Tests",
            dependencies: ["ApusGateway", "ApusHTTP", "ApusHTTP2", "ApusTestClients", "CNghttp2"],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ApusHTTP3Tests",
            dependencies: [
                "ApusGateway", "ApusHTTP", "ApusHTTP3", "ApusTestClients", "CGnuTLS", "CNghttp3", "CNgtcp2",
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ApusTests",
            dependencies: [
                "Apus", "ApusGateway", "ApusHTTP", "ApusTestClients", "ApusTransport",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ApusCommandTests",
            dependencies: [
                "Apus", "ApusCLI", "ApusCommand", "ApusHTTP", "ApusTransport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: settings
        ),
        .testTarget(
            name: "ApusCLITests",
            dependencies: ["ApusCLI", "ApusCommand", "ApusGateway"],
            swiftSettings: settings
        ),
    ]
)

// libFuzzer brings its own `main`: only Fuzz/run can link this one, which sets the flags that it takes.
if Context.environment["APUS_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(name: "fuzz-targets", dependencies: ["FuzzTargets"], path: "Fuzz/Runner")
    )
}
