# Copyright (c) mmbombo contributors.
"""For tests: a headless Chromium, asked through its DevTools pipe."""
import base64
import json
import os
import shutil
import subprocess
import tempfile

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
#: Events that tell of an error.
ERRORS = ('Runtime.exceptionThrown', 'Log.entryAdded')


class Browser:
    """One tab; skips the test where no browser is installed.

    Attributes:
        errors (list[dict]): What the console has said.
    """

    def __enter__(self):
        binary = next(filter(None, map(shutil.which, NAMES)), None)
        if binary is None:
            pytest.skip('no Chromium is installed')
        theirs, ours = os.pipe(), os.pipe()
        ends = theirs[0], ours[1]

        def connect():
            # copies first: 3 or 4 may be one of the four
            for end, place in zip([*map(os.dup, ends)], (3, 4)):
                os.dup2(end, place)

        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [
                binary, '--headless=new', '--no-sandbox', '--disable-gpu',
                '--disable-dev-shm-usage', '--window-size=1500,900',
                f'--user-data-dir={self.folder.name}',
                '--remote-debugging-pipe', 'about:blank'
            ],
            close_fds=False, preexec_fn=connect, stderr=subprocess.DEVNULL)
        os.close(theirs[0])
        os.close(ours[1])
        self.to, self.of = os.fdopen(theirs[1], 'wb'), os.fdopen(ours[0], 'rb')
        self.count, self.session, self.rest = 0, None, b''
        self.errors, self.events = [], []
        target = self.ask('Target.createTarget', url='about:blank')
        self.session = self.ask(
            'Target.attachToTarget', flatten=True, **target)['sessionId']
        for domain in ('Page', 'Runtime', 'Log'):
            self.ask(f'{domain}.enable')
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.to.close()
        self.of.close()
        self.folder.cleanup()

    def ask(self, method, **params):
        """Send a command; its result."""
        self.count += 1
        message = dict(id=self.count, method=method, params=params)
        if self.session:
            message['sessionId'] = self.session
        self.to.write(json.dumps(message).encode() + b'\0')
        self.to.flush()
        while True:
            answer = self._read()
            if answer.get('id') == self.count:
                assert 'error' not in answer, answer
                return answer['result']

    def _read(self):
        while b'\0' not in self.rest:
            part = self.of.read1(1 << 20)
            assert part, 'the browser has gone'
            self.rest += part
        text, _, self.rest = self.rest.partition(b'\0')
        message = json.loads(text)
        method, params = message.get('method'), message.get('params', {})
        if method in ERRORS or params.get('type') in ('error', 'assert'):
            self.errors.append(params)
        self.events.append(method)
        return message

    def open(self, path):
        """Show a file, and wait until its scripts have run."""
        self.events.clear()
        self.ask('Page.navigate', url=path.resolve().as_uri())
        while 'Page.loadEventFired' not in self.events:
            self._read()

    def run(self, script):
        """The value of an expression of JavaScript, awaited."""
        answer = self.ask(
            'Runtime.evaluate', expression=script, returnByValue=True,
            awaitPromise=True)
        assert 'exceptionDetails' not in answer, answer
        return answer['result'].get('value')

    def press(self, *keys):
        """Press keys, as a user does, and wait for the next picture."""
        for key in keys:
            event = dict(key=key)
            if len(key) == 1:
                event.update(text=key)
            if key == 'Escape':  # closes a dialog by its number alone
                event.update(windowsVirtualKeyCode=27)
            for kind in ('keyDown', 'keyUp'):
                self.ask('Input.dispatchKeyEvent', type=kind, **event)
        self.run('new Promise(x => requestAnimationFrame('
                 '() => setTimeout(x, 50)))')

    def screenshot(self, path):
        """Write what is to be seen as PNG."""
        data = self.ask('Page.captureScreenshot')['data']
        path.write_bytes(base64.b64decode(data))
