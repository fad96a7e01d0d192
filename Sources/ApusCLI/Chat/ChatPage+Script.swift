extension ChatPage {
    // What others have written goes through textContent alone: it stays text.
    static let script = #"""

        "use strict";
        const element = id => document.getElementById(id);
        const [statusLine, version, present, messages, composer, nameField, textField, sendButton] =
          ["status", "protocol", "present", "messages", "composer", "name", "text", "send"].map(element);

        // A server that goes away or comes again, and a connection that broke: worth another try.
        const passing = [1001, 1006, 1012, 1013];
        const firstDelay = 500, longestDelay = 30000, mostLines = 500;
        let socket = null, member = null, delay = firstDelay;

        try { nameField.value = sessionStorage.getItem("name") ?? ""; } catch { /* no storage, no memory */ }

        function show(state, text) {
          statusLine.dataset.state = state;
          statusLine.textContent = text;
          sendButton.disabled = state !== "open";
          if (state !== "open") version.textContent = present.textContent = "";
        }

        function addLine(kind, text, author) {
          const isAtEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 40;
          const line = document.createElement("li");
          line.className = kind;
          if (author !== undefined) line.appendChild(document.createElement("b")).textContent = author;
          line.appendChild(document.createElement("span")).textContent = text;
          messages.append(line);
          while (messages.childElementCount > mostLines) messages.firstElementChild.remove();
          if (isAtEnd) messages.scrollTop = messages.scrollHeight;
        }

        function count(people) {
          present.textContent = people === 1 ? "1 person" : `${people} people`;
        }

        const news = {
          welcome(it) {
            member = it.member;
            delay = firstDelay;
            show("open", "Connected");
            version.textContent = it.protocol;
            count(it.present);
            nameField.placeholder = it.name;
            sayName();
          },
          joined(it) { count(it.present); addLine("news", `${it.name} has come`); },
          left(it) { count(it.present); addLine("news", `${it.name} has left`); },
          renamed(it) { addLine("news", `${it.from} is now ${it.to}`); },
          said(it) { addLine(it.member === member ? "said own" : "said", it.text, it.name); },
        };

        function say(message) {
          if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
        }

        function sayName() {
          const name = nameField.value.trim();
          try { sessionStorage.setItem("name", name); } catch { /* likewise */ }
          if (name) say({ type: "name", name });
        }

        function connect() {
          show("connecting", "Connecting …");
          const address = new URL("chat", location.href);
          address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
          socket = new WebSocket(address);
          socket.onmessage = event => {
            const it = JSON.parse(event.data);
            if (Object.hasOwn(news, it.type)) news[it.type](it);
          };
          socket.onclose = event => {
            const why = `${event.code}${event.reason ? `, ${event.reason}` : ""}`;
            if (!passing.includes(event.code)) return show("closed", `Closed (${why}); load the page again to come back`);
            // Half of the delay is chance: a server that comes again is not met by all at once.
            const wait = delay * (0.5 + Math.random() / 2);
            delay = Math.min(delay * 2, longestDelay);
            show("closed", `Closed (${why}); trying again in ${(wait / 1000).toFixed(1)} s`);
            setTimeout(connect, wait);
          };
        }

        nameField.addEventListener("change", sayName);
        composer.addEventListener("submit", event => {
          event.preventDefault();
          const text = textField.value.trim();
          if (!text || sendButton.disabled) return;
          say({ type: "say", text });
          textField.value = "";
        });
        connect();

        """#
}
