/// Every case of the table.
package enum WebSocketCases {
    package static let all =
        FramingCases.all + ControlCases.all + CloseCases.all + UTF8Cases.all + LimitCases.all + DeflateCases.all
        + DeflateFaultCases.all
}
