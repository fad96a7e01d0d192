extension ChatPage {
    static let style = """

        :root {
          color-scheme: light dark;
          --back: #f4f6f8; --sheet: #ffffff; --ink: #16202a; --faint: #5a6875; --line: #cfd8e0;
          --accent: #0b62b8; --on-accent: #ffffff; --good: #17713a; --bad: #b3261e;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --back: #10161c; --sheet: #1a232c; --ink: #e8eef3; --faint: #9fb0bf; --line: #34424f;
            --accent: #6cb4f5; --on-accent: #0b1620; --good: #6fd394; --bad: #ff8f86;
          }
        }
        * { box-sizing: border-box; }
        html, body { height: 100%; margin: 0; }
        body {
          display: grid; grid-template-rows: auto 1fr auto; gap: .75rem;
          max-width: 46rem; margin: 0 auto; padding: 1rem;
          background: var(--back); color: var(--ink); font: 1rem/1.45 system-ui, sans-serif;
        }
        header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1rem; }
        h1 { margin: 0; font-size: 1.25rem; }
        header p { margin: 0; color: var(--faint); }
        #status::before { content: "●"; margin-right: .35em; }
        #status[data-state="open"]::before { color: var(--good); }
        #status[data-state="closed"]::before { color: var(--bad); }
        #protocol:not(:empty) {
          padding: .1rem .5rem; border: 1px solid var(--accent); border-radius: 1rem;
          color: var(--accent); font-weight: 600; font-size: .875rem;
        }
        #messages {
          overflow-y: auto; min-height: 8rem; margin: 0; padding: .75rem; list-style: none;
          background: var(--sheet); border: 1px solid var(--line); border-radius: .75rem;
        }
        #messages li { max-width: 85%; width: fit-content; margin: .35rem 0; overflow-wrap: anywhere; }
        #messages .said { padding: .35rem .75rem; border: 1px solid var(--line); border-radius: .75rem; }
        #messages .own { margin-left: auto; border-color: var(--accent); }
        #messages .news { max-width: none; margin-inline: auto; color: var(--faint); font-size: .875rem; }
        #messages b { display: block; color: var(--accent); font-size: .8125rem; }
        #messages span { white-space: pre-wrap; }
        form { display: grid; grid-template-columns: 9rem 1fr auto; gap: .25rem .5rem; }
        label { grid-row: 1; color: var(--faint); font-size: .8125rem; }
        input, button { grid-row: 2; min-width: 0; padding: .55rem .75rem; border-radius: .5rem; font: inherit; }
        input { border: 1px solid var(--line); background: var(--sheet); color: var(--ink); }
        button { border: 0; background: var(--accent); color: var(--on-accent); font-weight: 600; cursor: pointer; }
        button:disabled { opacity: .5; cursor: default; }
        :focus-visible { outline: 3px solid var(--accent); outline-offset: 1px; }
        @media (max-width: 30rem) { form { grid-template-columns: 6rem 1fr auto; } }

        """
}
