// A RIS by dcmjs-dimse: manages performed procedure steps (N-CREATE, N-SET, N-GET; PS3.4, F.7.2 and
// F.8.2), keeps what it received so that tests can compare it with what was sent, and answers C-FIND
// with whatever a test tells it. Run by itself (node mpps_scp.js PORT) it is the RIS of scripts/run.sh.
import { once } from 'node:events';
import path from 'node:path';
import dimse from 'dcmjs-dimse';
import { decodeText } from './data_set.js';

const { constants, log, responses, Scp, Server, Dataset } = dimse;
const { SopClass, Status, TransferSyntax, PresentationContextResult } = constants;
export const mppsRetrieve = '1.2.840.10008.3.1.2.3.4';

log.setLevel('silent');

const finalComment = 'Performed Procedure Step Object may no longer be updated';

/// The steps of one SCP. steps: instance UID → elements; received: every request in order, as
/// { operation, uid, elements (by dcmjs), dataSet (by support/data_set.js, where explicit), attributes }.
/// answer may be set to refuse: (operation, uid) → a status word, { status, errorComment, fields,
/// elements }, 'break' to close the connection without an answer, or undefined to go on. performed(operation,
/// uid) is called when a step was created or changed, before the answer; 'break' as above: it is lost; 'silence': it never comes. find may be set to offer the worklist: elements of the identifier
/// → a list of such, or 'abort'. fields are further elements of the command set, elements those of a data
/// set, both by keyword. cancelled counts C-CANCELs. transferSyntaxes says what is accepted.
export class StepRegister {
  steps = new Map();
  received = [];
  associations = 0;
  answer = () => undefined;
  performed = () => undefined;
  find = undefined;
  cancelled = 0;
  transferSyntaxes = [TransferSyntax.ExplicitVRLittleEndian, TransferSyntax.ImplicitVRLittleEndian];
}

function dress(response, { status, errorComment, fields = {}, elements }) {
  response.setStatus(status);
  if (errorComment) response.setErrorComment(errorComment);
  for (const [keyword, value] of Object.entries(fields)) response.getCommandDataset().setElement(keyword, value);
  if (elements) response.setDataset(new Dataset(elements));
  return response;
}

function scpClass(register) {
  return class MppsScp extends Scp {
    associationRequested(association) {
      register.associations++;
      const offered = [SopClass.Verification, SopClass.ModalityPerformedProcedureStep, mppsRetrieve];
      this.association = association;
      for (const { id } of association.getPresentationContexts()) {
        const context = association.getPresentationContext(id);
        const syntax = register.transferSyntaxes.find((uid) => context.hasTransferSyntaxUid(uid));
        if (register.find) offered.push(SopClass.ModalityWorklistInformationModelFind);
        if (!offered.includes(context.getAbstractSyntaxUid())) {
          context.setResult(PresentationContextResult.RejectAbstractSyntaxNotSupported);
        } else if (!syntax) {
          context.setResult(PresentationContextResult.RejectTransferSyntaxesNotSupported);
        } else {
          context.setResult(PresentationContextResult.Accept, syntax);
        }
      }
      this.sendAssociationAccept();
    }

    associationReleaseRequested() {
      this.sendAssociationReleaseResponse();
    }

    // dcmjs-dimse 0.3.3 keeps the bytes of a command without a data set and reads them again in front
    // of the next one: an N-GET without an attribute list would get the list of the N-GET before it.
    _performDimse(context, message) {
      this.bytes = undefined;
      if (!message.hasDataset()) this.dimseStream = undefined;
      else if (context.getAcceptedTransferSyntaxUid() === TransferSyntax.ExplicitVRLittleEndian) {
        this.bytes = this.dimseStream.toBuffer();
      }
      return super._performDimse(context, message);
    }

    cEchoRequest(request, callback) {
      const response = responses.CEchoResponse.fromRequest(request);
      response.setStatus(Status.Success);
      callback(response);
    }

    async cFindRequest(request, callback) {
      const answers = await register.find(request.getDataset().getElements());
      if (answers === 'abort') return this.sendAbort();
      callback(answers.map((answer) => {
        const response = responses.CFindResponse.fromRequest(request);
        response.setAffectedSopClassUid(SopClass.ModalityWorklistInformationModelFind);
        return dress(response, answer);
      }));
    }

    cCancelRequest() {
      register.cancelled++;
    }

    #perform(operation, uid, response, callback) {
      response.setStatus(Status.Success);
      const fate = register.performed(operation, uid);
      if (fate === 'break') this.socket.destroy();
      else if (fate !== 'silence') callback(response);
    }

    /// Whether to go on; else it was answered as the test wants it.
    #received(operation, uid, request, response, callback, attributes) {
      register.received.push({
        operation, uid, attributes, elements: request.getDataset()?.getElements(),
        dataSet: this.bytes && decodeText(this.bytes),
      });
      const answer = register.answer(operation, uid);
      if (answer === undefined) return true;
      if (answer === 'break') this.socket.destroy();
      else callback(dress(response, typeof answer === 'number' ? { status: answer } : answer));
      return false;
    }

    nCreateRequest(request, callback) {
      const uid = request.getAffectedSopInstanceUid();
      const response = responses.NCreateResponse.fromRequest(request);
      if (!this.#received('N-CREATE', uid, request, response, callback)) return;
      if (register.steps.has(uid)) {
        response.setStatus(Status.DuplicateSOPInstance);
        callback(response);
      } else {
        register.steps.set(uid, { ...request.getDataset().getElements() });
        this.#perform('N-CREATE', uid, response, callback);
      }
    }

    nSetRequest(request, callback) {
      const uid = request.getRequestedSopInstanceUid();
      const response = responses.NSetResponse.fromRequest(request);
      if (!this.#received('N-SET', uid, request, response, callback)) return;
      const step = register.steps.get(uid);
      if (!step) {
        response.setStatus(Status.NoSuchObjectInstance);
        callback(response);
      } else if (step.PerformedProcedureStepStatus !== 'IN PROGRESS') {
        response.setStatus(Status.ProcessingFailure);
        response.setErrorComment(finalComment);
        response.getCommandDataset().setElement('ErrorID', 0xa710);
        callback(response);
      } else {
        const { SpecificCharacterSet, _vrMap, ...changes } = request.getDataset().getElements();
        Object.assign(step, changes); // sequences are replaced as a whole (rule F21)
        this.#perform('N-SET', uid, response, callback);
      }
    }

    nGetRequest(request, callback) {
      const uid = request.getRequestedSopInstanceUid();
      // a list of one tag is a bare number to dcmjs, and no list to dcmjs-dimse
      const command = request.getCommandDataset();
      command.setElement('AttributeIdentifierList', [command.getElement('AttributeIdentifierList') ?? []].flat());
      const attributes = request.getAttributeIdentifierList();
      const response = responses.NGetResponse.fromRequest(request);
      if (!this.#received('N-GET', uid, request, response, callback, attributes)) return;
      const step = register.steps.get(uid);
      if (!step) {
        response.setStatus(Status.NoSuchObjectInstance);
      } else {
        const wanted = Object.entries(step).filter(
          ([name]) => !name.startsWith('_') &&
            (!attributes.length || attributes.includes(name) || name === 'SpecificCharacterSet'),
        );
        response.setDataset(new Dataset(Object.fromEntries(wanted)));
        response.setStatus(Status.Success);
      }
      callback(response);
    }

    abort() {}
  };
}

/// Starts the SCP on any free port (or the given one): { host, port, register, close() }. tls: as
/// support/certificates.js gives it; register: of an SCP that was closed, which comes back.
export async function startMppsScp(house, port = 0, { tls, register = new StepRegister() } = {}) {
  const server = new Server(scpClass(register));
  server.on('networkError', () => {});
  server.listen(port, tls && { securityOptions: { ...tls.options, requestCert: true, rejectUnauthorized: true } });
  await once(server.server, 'listening');
  const close = () => {
    server.server.close();
    server.close();
  };
  house?.defer(close);
  return { host: '127.0.0.1', port: server.server.address().port, register, close };
}

if (process.argv[1] && path.resolve(process.argv[1]) === new URL(import.meta.url).pathname) {
  const scp = await startMppsScp(undefined, Number(process.argv[2] ?? 0));
  console.log(`ready port=${scp.port}`);
  process.on('SIGTERM', () => process.exit(0));
}
