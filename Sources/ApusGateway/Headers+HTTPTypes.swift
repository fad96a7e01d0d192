import HTTPTypes

extension Headers {
    /// The fields of swift-http-types, in order.
    public init(_ fields: HTTPFields) {
        self.init(reservingFields: fields.count, bytes: 0)
        for field in fields {
            append(field.name.rawName, field.value)
        }
    }
}

extension HTTPFields {
    /// The fields as swift-http-types has them; names that it does not accept are left out.
    public init(_ headers: Headers) {
        self.init()
        for (name, value) in headers {
            guard let name = HTTPField.Name(name) else { continue }
            append(HTTPField(name: name, value: value))
        }
    }
}
