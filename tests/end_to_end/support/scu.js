// A modality by dcmjs-dimse: sends requests on an association of its own and gives back what came.
import dimse from 'dcmjs-dimse';
import { within } from './house.js';
import { encode } from './data_set.js';
import { mppsRetrieve } from './mpps_scp.js';

const { Client, constants, Dataset, log, requests } = dimse;
const { SopClass } = constants;
const pendingStatuses = [0xff00, 0xff01];

log.setLevel('silent');

/// A data set given as bytes: dcmjs writes UTF-8 only, this holds any character set.
class EncodedDataset extends Dataset {
  constructor(elements, encoding) {
    super({});
    this.list = elements;
    this.encoding = encoding;
  }
  getDenaturalizedDataset() {
    return encode(this.list, this.getTransferSyntaxUid(), this.encoding);
  }
}

/// Sends the requests one after the other on one association. Resolves to their responses as
/// { status, errorComment, errorId, sopInstanceUid, elements, pending }; pending: the data sets of the
/// responses before the last one. Rejects if one stays unanswered. peer.tls: as
/// support/certificates.js gives it; peer.user: a user identity as dcmjs-dimse wants it.
export function sendAll(peer, list, limit = 15000) {
  const client = new Client();
  const answers = list.map(() => undefined);
  const pending = list.map(() => []);
  const ended = new Promise((resolve, reject) => {
    list.forEach((request, index) => {
      request.on('response', (response) => {
        if (pendingStatuses.includes(response.getStatus())) {
          pending[index].push(plain(response.getDataset().getElements()));
          return;
        }
        const command = response.getCommandDataset();
        answers[index] = {
          status: response.getStatus(),
          errorComment: response.getErrorComment(),
          errorId: command.getElement('ErrorID'),
          sopInstanceUid: command.getElement('AffectedSOPInstanceUID'),
          elements: response.getDataset() && plain(response.getDataset().getElements()),
          pending: pending[index],
        };
      });
      client.addRequest(request);
    });
    client.on('associationAccepted', (association) => {
      for (const request of list) {
        const dataset = request.getDataset();
        if (!(dataset instanceof EncodedDataset)) continue;
        const context = association.getAcceptedPresentationContextFromRequest(request);
        if (context) dataset.setTransferSyntaxUid(context.getAcceptedTransferSyntaxUid());
      }
    });
    client.on('associationRejected', ({ result, source, reason }) =>
      reject(Object.assign(new Error(`rejected: ${result}/${source}/${reason}`), { rejection: [result, source, reason] })));
    client.on('networkError', reject);
    client.on('closed', () =>
      answers.every(Boolean) ? resolve(answers) : reject(new Error('closed before every request was answered')));
  });
  client.send(peer.host ?? '127.0.0.1', peer.port, peer.callingAeTitle ?? 'DCMJS', peer.aeTitle, {
    ...(peer.tls && { securityOptions: { ...peer.tls.options, rejectUnauthorized: true } }),
    ...(peer.user && { userIdentity: peer.user }),
  });
  return within(limit, 'the responses to the SCU', ended);
}

export const send = async (peer, request) => (await sendAll(peer, [request]))[0];

const dataset = (elements, encoding) =>
  Array.isArray(elements) ? new EncodedDataset(elements, encoding) : new Dataset(elements);

/// elements: by keyword as dcmjs wants them, or a list for support/data_set.js with its encoding.
export function nCreate(uid, elements, encoding) {
  const request = new requests.NCreateRequest(SopClass.ModalityPerformedProcedureStep, uid);
  if (uid === undefined) delete request.getCommandDataset().getElements().AffectedSOPInstanceUID;
  request.setDataset(dataset(elements, encoding));
  return request;
}

export function nSet(uid, elements, encoding) {
  const request = new requests.NSetRequest(SopClass.ModalityPerformedProcedureStep, uid);
  request.setDataset(dataset(elements, encoding));
  return request;
}

/// attributes: keywords; none: the request holds no Attribute Identifier List.
export function nGet(uid, attributes) {
  const request = new requests.NGetRequest(mppsRetrieve, uid, attributes ?? []);
  if (!attributes) delete request.getCommandDataset().getElements().AttributeIdentifierList;
  return request;
}

/// A worklist query. elements: the identifier by keyword, and no more than that: with all that
/// createWorklistFindRequest adds, Orthanc finds nothing, asked directly.
export function cFind(elements) {
  const request = requests.CFindRequest.createWorklistFindRequest({});
  request.setDataset(new Dataset(elements));
  return request;
}

export const cEcho = () => new requests.CEchoRequest();

/// Elements as plain values that deepEqual can compare: without dcmjs' own notes, and without
/// (0008,0005), since text is compared after decoding.
export function plain(elements) {
  return JSON.parse(JSON.stringify(strip(elements)));
}

function strip(value) {
  if (Array.isArray(value)) return value.map(strip);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof ArrayBuffer) return Buffer.from(value).toString('hex');
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !name.startsWith('_') && name !== 'SpecificCharacterSet')
      .map(([name, inner]) => [name, strip(inner)]),
  );
}
