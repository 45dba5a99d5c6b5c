#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""IPFIX over TLS (RFC 7011 sections 10.4 and 11) into the real oneway-collector: certificates of both sides, what a
peer may not do, and the renewal of a certificate.

usage: test_tls.py PROGRAM [CASE ...]
"""
import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import warnings

import test_collector as base

DAYS = ['-days', '30']


def openssl(*args):
    subprocess.run(['openssl', *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Authority:
    """Makes certificates: NAME.crt and NAME.key in a directory."""

    def __init__(self, directory, name):
        self.dir, self.name = directory, name
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj',
                '/CN=' + name, '-keyout', self.path(name + '.key'), '-out', self.path(name + '.crt'), *DAYS)

    def path(self, name):
        return os.path.join(self.dir, name)

    def issue(self, name, host, days=30):
        key, request, cert = (self.path(name + end) for end in ('.key', '.csr', '.crt'))
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/O=Oneway test',
                '-addext', 'subjectAltName=DNS:' + host, '-keyout', key, '-out', request)
        openssl('x509', '-req', '-in', request, '-CA', self.path(self.name + '.crt'), '-CAkey',
                self.path(self.name + '.key'), '-set_serial', str(time.time_ns()), '-copy_extensions', 'copy', '-out',
                cert, '-days', str(days))
        return cert, key


class Tls(base.Case):
    @classmethod
    def setUpClass(cls):
        cls.keys = tempfile.mkdtemp(prefix='owd-tls-')
        cls.addClassCleanup(shutil.rmtree, cls.keys)
        cls.ca = Authority(cls.keys, 'ca')
        cls.other = Authority(cls.keys, 'other')
        cls.server = cls.ca.issue('server', 'collector.example.net')
        cls.router = cls.ca.issue('router', 'router1.example.net')
        cls.stranger = cls.ca.issue('stranger', 'router1.example.org')
        cls.expired = cls.ca.issue('expired', 'router2.example.net', days=-1)
        cls.foreign = cls.other.issue('foreign', 'router1.example.net')

    def tearDown(self):
        for name in os.listdir(self.keys):  # whatever was said, no key was in it
            if name.endswith('.key'):
                with open(os.path.join(self.keys, name), encoding='ascii') as f:
                    for line in f.read().splitlines()[1:-1]:
                        self.assertNotIn(line, self.said)

    def start(self, *args, listen=('tls:127.0.0.1:0',), env=None, mutual=False):
        options = ['--tls-cert', self.server[0], '--tls-key', self.server[1]]
        if mutual:
            options += ['--tls-ca', self.ca.path('ca.crt')]
        live = self.live(*options, *args, listen=listen, env=env)
        self.said = ''
        self.addCleanup(lambda: live.process.poll() is None and live.end(signal.SIGKILL))
        return live

    def finish(self, live):
        self.assertEqual(live.end(), 0, live.messages())
        self.said = live.messages()
        return self.logged()

    def client(self, identity=None, version=None):
        context = ssl.create_default_context(cafile=self.ca.path('ca.crt'))
        if identity is not None:
            context.load_cert_chain(*identity)
        if version is not None:
            context.set_ciphers('DEFAULT@SECLEVEL=0')  # or the client's own side refuses old versions
            context.minimum_version = context.maximum_version = version
        return context

    def connect(self, live, **kwargs):
        plain = socket.create_connection(('127.0.0.1', live.ports[-1]), timeout=20)
        try:
            return self.client(**kwargs).wrap_socket(plain, server_hostname='collector.example.net')
        except BaseException:
            plain.close()
            raise

    def messages(self):
        return [base.ipfix(0, base.sets((2, base.template(300, base.IPFIX_FIELDS))))] + [
            base.ipfix(n, base.sets((300, b''.join(base.ipfix_record(2000 + n + i) for i in range(size)))))
            for n, size in ((0, 1), (1, 1000), (1001, 3))]

    def test_both_versions_of_tls_in_any_pieces(self):
        live = self.start()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.connect(live, version=version) as s:
                self.assertEqual(s.version(), version.name.replace('_', '.'))
                for piece in base.pieces(b''.join(self.messages())):
                    s.sendall(piece)
                s.unwrap()
        with self.connect(live) as s:  # the template is still known; the end comes without a goodbye
            s.sendall(base.ipfix(1004, base.sets((300, base.ipfix_record(7)))))
        time.sleep(0.3)
        rows = self.finish(live)
        self.assertEqual(sorted(r['sport'] for r in rows), [7] + sorted(list(range(2000, 3004)) * 2))
        self.assertNotIn('warning', live.messages())

    def test_old_versions_of_tls(self):
        live = self.start()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)
            self.refused(live, version=ssl.TLSVersion.TLSv1_1)
        self.assertEqual(self.finish(live), [])
        self.assertIn('TLS handshake failed: unsupported protocol', live.messages())

    def test_openssl_as_exporter(self):
        live = self.start(mutual=True)
        done = subprocess.run(
            ['openssl', 's_client', '-connect', '127.0.0.1:%d' % live.ports[0], '-quiet', '-no_ign_eof', '-cert',
             self.router[0], '-key', self.router[1], '-CAfile', self.ca.path('ca.crt'), '-verify_return_error',
             '-verify_hostname', 'collector.example.net'],
            input=b''.join(self.messages()), capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        time.sleep(0.3)
        self.assertEqual(len(self.finish(live)), 1004)

    def refused(self, live, **kwargs):
        """In TLS 1.3 the client learns of it only when it reads."""
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with self.connect(live, **kwargs) as s:
                s.sendall(b''.join(self.messages()))
                s.recv(1)

    def test_exporters_show_certificates(self):
        for identity, reason in ((None, 'peer did not return a certificate'),
                                 (self.foreign, 'unable to get local issuer certificate'),
                                 (self.expired, 'certificate has expired'),
                                 (self.stranger, 'hostname mismatch')):
            live = self.start(mutual=True, env={'ONEWAY_COLLECTOR_TLS_PEERS': '.example.net'})
            self.refused(live, identity=identity)
            with self.connect(live, identity=self.router) as s:
                s.sendall(self.messages()[0] + self.messages()[1])
            time.sleep(0.2)
            self.assertEqual(len(self.finish(live)), 1)
            self.assertRegex(live.messages(), 'TCP connection of 127.0.0.1 port [0-9]+ closed: TLS handshake failed: '
                             + reason)
            shutil.rmtree(self.log)

    def test_what_is_not_tls(self):
        live = self.start(listen=('127.0.0.1:0', 'tcp:127.0.0.1:0', 'tls:127.0.0.1:0'),
                          env={'ONEWAY_COLLECTOR_METRICS': '127.0.0.1:0',
                               'ONEWAY_COLLECTOR_TLS_HANDSHAKE_TIMEOUT': '1 s'})
        url = re.search(r'metrics on (http://127\.0\.0\.1:\d+)/metrics', live.messages())[1]
        messages = self.messages()
        with contextlib.ExitStack() as stack:
            def plain(port):
                s = stack.enter_context(socket.create_connection(('127.0.0.1', port), timeout=20))
                return s
            silent = plain(live.ports[2])
            text = plain(live.ports[2])
            text.sendall(b'GET / HTTP/1.1\r\n\r\n')
            bare = plain(live.ports[2])
            bare.sendall(messages[0])
            wrapped = plain(live.ports[1])  # TLS where it is not expected
            with self.assertRaises((ssl.SSLError, OSError)):
                self.client().wrap_socket(wrapped, server_hostname='collector.example.net')
            good = stack.enter_context(self.connect(live))
            good.sendall(messages[0])
            for s in (text, bare, silent):
                with contextlib.suppress(ConnectionResetError):
                    while s.recv(100):
                        pass
            good.sendall(messages[1])
            http = stack.enter_context(self.connect(live))  # TLS, but no IPFIX in it
            http.sendall(b'GET / HTTP/1.1\r\n\r\n')
            self.assertEqual(http.recv(1), b'')
            time.sleep(0.3)
            with urllib.request.urlopen(url + '/metrics', timeout=10) as answer:
                metrics = answer.read().decode()
        for sample in ('tls_handshakes_total{} 2', 'connections_closed_total{reason="TLS handshake failed"} 2',
                       'connections_closed_total{reason="not IPFIX"} 2', 'connections{} 1',
                       'connections_closed_total{reason="TLS handshake longer than tls-handshake-timeout"} 1'):
            self.assertIn('oneway_collector_%s\n' % sample, metrics)
        self.assertEqual(len(self.finish(live)), 1)

    def test_handshakes_are_rationed(self):
        """Many at once: all are served in the end, and UDP meanwhile."""
        live = self.start(listen=('127.0.0.1:0', 'tls:127.0.0.1:0'),
                          env={'ONEWAY_COLLECTOR_MAX_CONNECTIONS_PER_ADDRESS': '200'})
        begin = time.monotonic()
        waiting = [socket.create_connection(('127.0.0.1', live.ports[1]), timeout=30) for _ in range(110)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(self.messages()[0], ('127.0.0.1', live.ports[0]))
            udp.sendto(self.messages()[1], ('127.0.0.1', live.ports[0]))
        with self.client().wrap_socket(waiting[-1], server_hostname='collector.example.net') as last:
            last.sendall(base.ipfix(1, base.sets((300, base.ipfix_record(9)))))
            self.assertGreater(time.monotonic() - begin, 1)
        for s in waiting:
            s.close()
        time.sleep(0.3)
        self.assertEqual([r['sport'] for r in self.finish(live)], [2000, 9])

    def test_a_renewed_certificate(self):
        with open(self.server[0], 'rb') as cert, open(self.server[1], 'rb') as key:
            before = self.file('crt', cert.read()), self.file('key', key.read())
        conf = self.file('oneway.conf', ('[collector]\ntls-cert = %s\ntls-key = %s\n' % before).encode())
        live = self.live('--config', conf, listen=('tls:127.0.0.1:0',))

        def reload(wanted):
            live.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + 20
            while wanted not in live.messages():
                self.assertLess(time.monotonic(), deadline, live.messages())
                time.sleep(0.05)

        def serial():
            with self.connect(live) as s:
                return s.getpeercert()['serialNumber']

        with self.connect(live) as old:
            first = serial()
            renewed = self.ca.issue('renewed', 'collector.example.net')
            shutil.copy(renewed[0], before[0])
            reload('settings not changed: TLS private key')  # half of it: key and certificate do not fit
            self.assertEqual(serial(), first)
            shutil.copy(renewed[1], before[1])
            reload('settings read again')
            self.assertNotEqual(serial(), first)
            self.file('oneway.conf', b'')
            reload('settings not changed: listening on tls:')
            old.sendall(b''.join(self.messages()))  # an open connection goes on
        time.sleep(0.3)
        self.assertEqual(len(self.finish(live)), 1004)

    def test_bad_files(self):
        cert, key = self.server
        locked = self.ca.path('locked.pem')
        openssl('pkey', '-in', key, '-aes128', '-passout', 'pass:secret', '-out', locked)
        self.said = ''
        for args, text in ((['--tls-cert', cert], 'but not tls-key'),
                           (['--tls-cert', cert, '--tls-key', self.keys + '/none'], 'none: No such file or directory'),
                           (['--tls-cert', cert, '--tls-key', self.router[1]], 'router.key: key values mismatch'),
                           (['--tls-cert', cert, '--tls-key', locked], 'TLS private key .PEM, no passphrase. .*locked.pem'),
                           (['--tls-cert', key, '--tls-key', key], 'TLS certificate .*server.key'),
                           (['--tls-cert', cert, '--tls-key', key, '--tls-ca', key], 'TLS authorities .*server.key'),
                           ([], 'needs a certificate and its key')):
            status, _, err = base.run('--log', self.log, '--listen', 'tls:127.0.0.1:0', *args)
            self.assertEqual(status, 2, err)
            self.assertRegex(err, text)
            self.said += err
        self.assertFalse(os.path.exists(self.log))


if __name__ == '__main__':
    base.PROGRAM = os.path.abspath(sys.argv.pop(1))
    os.environ.pop('NOTIFY_SOCKET', None)
    unittest.main(verbosity=2)
