// A CA of the test's own, and a key with a certificate by it for the host 127.0.0.1, made by openssl.
import fs from 'node:fs';

/// { key, certificate, trusted }: files; options: what they hold, for Node's tls. All peers of a test
/// may share them, as servers and as clients.
export async function makeCertificates(house) {
  const directory = house.newPath();
  fs.mkdirSync(directory);
  const openssl = async (...args) => {
    const { code, stderr } = await house.run('openssl', args, { cwd: directory });
    if (code !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  };
  const newKey = (name) => ['-newkey', 'rsa:2048', '-nodes', '-keyout', `${name}.key`, '-subj', `/CN=${name}`];
  fs.writeFileSync(`${directory}/extensions`, 'subjectAltName=IP:127.0.0.1\n');
  await openssl('req', '-x509', ...newKey('ca'), '-out', 'ca.pem', '-days', '2');
  await openssl('req', ...newKey('here'), '-out', 'here.csr');
  await openssl('x509', '-req', '-in', 'here.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2',
    '-extfile', 'extensions', '-out', 'here.pem');
  const file = (name) => `${directory}/${name}`;
  const files = { key: file('here.key'), certificate: file('here.pem'), trusted: file('ca.pem') };
  const text = (name) => fs.readFileSync(name, 'latin1');
  return {
    ...files, options: { key: text(files.key), cert: text(files.certificate), ca: text(files.trusted) },
  };
}
