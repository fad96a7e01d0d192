import ApusGateway

/// The page of the chat: one document, whose style and script no other may pass for.
struct ChatPage {
    let headers: Headers
    let body: Bytes

    init() {
        // CSP3 §2.3.1: a nonce is new for each response; 128 bits nobody guesses.
        let nonce = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }.joined()
        body = Bytes(Self.document(nonce: nonce))
        headers = [
            "content-type": "text/html; charset=utf-8",
            "content-length": String(body.count),
            "content-security-policy": Self.policy(nonce: nonce),
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        ]
    }

    /// Nothing from elsewhere, and no connection but to where the page came from.
    private static func policy(nonce: String) -> String {
        "default-src 'none'; script-src 'nonce-\(nonce)'; style-src 'nonce-\(nonce)'; connect-src 'self'; "
            + "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    }

    private static func document(nonce: String) -> String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Apus chat</title>
        <link rel="icon" href="data:,">
        <style nonce="\(nonce)">\(style)</style>
        </head>
        <body>
        <header>
        <h1>Apus chat</h1>
        <p id="status" role="status" data-state="connecting">Connecting …</p>
        <p><output id="protocol" aria-label="Protocol"></output> <output id="present" aria-label="People present"></output></p>
        </header>
        <ol id="messages" role="log" aria-label="Messages" tabindex="0"></ol>
        <form id="composer" autocomplete="off">
        <label for="name">Name</label>
        <input id="name" maxlength="24" placeholder="Guest">
        <label for="text">Message</label>
        <input id="text" maxlength="1000" required>
        <button id="send" disabled>Send</button>
        </form>
        <script nonce="\(nonce)">\(script)</script>
        </body>
        </html>

        """
    }
}
