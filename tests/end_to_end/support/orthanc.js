// Orthanc as a peer: a worklist SCP (its plugin ModalityWorklists), and an SCU that a REST call makes
// ask. Listens on all interfaces.
import fs from 'node:fs';
import path from 'node:path';
import { dump2dcm } from './dcmtk.js';
import { accepts, freePort, until } from './house.js';

const program = '/usr/sbin/Orthanc';
const plugin = '/usr/share/orthanc/plugins/libModalityWorklists.so';

export const hasOrthanc = fs.existsSync(program);

/// dumps: its worklist. modalities: { name: { host, port, aeTitle, callingAeTitle, tls } } that it may
/// ask. tls: as support/certificates.js gives it; its SCP then speaks TLS only, and it can ask over TLS.
/// Returns { scp: { host, port, aeTitle }, ask(name, what, body) }: what is "echo" or "find-worklist".
export async function startOrthanc(house, { dumps = [], modalities = {}, tls }) {
  const folder = house.newPath();
  const worklist = path.join(folder, 'worklist');
  fs.mkdirSync(worklist, { recursive: true });
  for (const [index, text] of dumps.entries()) await dump2dcm(house, text, path.join(worklist, `${index}.wl`));
  const [http, dicom] = [await freePort(), await freePort()];
  const configuration = path.join(folder, 'orthanc.json');
  fs.writeFileSync(configuration, JSON.stringify({
    StorageDirectory: folder, IndexDirectory: folder, HttpPort: http, DicomPort: dicom, DicomAet: 'ORTHANC',
    DicomCheckCalledAet: false, DicomAlwaysAllowEcho: true, DicomAlwaysAllowFind: true,
    DicomAlwaysAllowFindWorklist: true, RemoteAccessAllowed: false, AuthenticationEnabled: false,
    DicomModalities: Object.fromEntries(Object.entries(modalities).map(([name, peer]) => [name, {
      AET: peer.aeTitle, Host: peer.host, Port: peer.port, LocalAet: peer.callingAeTitle ?? 'ORTHANC',
      UseDicomTls: Boolean(peer.tls),
    }])),
    ...(tls && {
      DicomTlsEnabled: true, DicomTlsPrivateKey: tls.key, DicomTlsCertificate: tls.certificate,
      DicomTlsTrustedCertificates: tls.trusted, DicomTlsRemoteCertificateRequired: true,
    }),
    Plugins: [plugin], Worklists: { Enable: true, Database: worklist },
  }));
  const child = house.spawn('orthanc', program, [configuration], { env: { TCP_NODELAY: '1' } });
  await until(30000, () => `Orthanc to start; it wrote:\n${child.stderr}`, async () =>
    (await accepts(http)) && (await accepts(dicom)));
  const ask = async (name, what, body = {}) => {
    const response = await fetch(`http://127.0.0.1:${http}/modalities/${name}/${what}`, {
      method: 'POST', body: JSON.stringify(body), signal: AbortSignal.timeout(20000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`Orthanc, ${what}: ${response.status} ${text}\n${child.stderr}`);
    return JSON.parse(text);
  };
  return { scp: { host: '127.0.0.1', port: dicom, aeTitle: 'ORTHANC' }, ask };
}
