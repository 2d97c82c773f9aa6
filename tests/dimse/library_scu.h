// An SCU made of DCMTK's own calls, as the devices out there are: the oracle for our front.
#pragma once

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmnet/assoc.h>
#include <dcmtk/dcmnet/dimse.h>
#include <dcmtk/dcmnet/diutil.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace loopback {

class LibraryScu {
 public:
  explicit LibraryScu(std::uint16_t port, const char* called = "MODGATE",
                      const char* calling = "CT1",
                      std::vector<const char*> syntaxes = {UID_LittleEndianExplicitTransferSyntax,
                                                           UID_LittleEndianImplicitTransferSyntax},
                      T_ASC_SC_ROLE role = ASC_SC_ROLE_DEFAULT) {
    REQUIRE(ASC_initializeNetwork(NET_REQUESTOR, 0, 20, &network_).good());
    T_ASC_Parameters* parameters = nullptr;
    REQUIRE(ASC_createAssociationParameters(&parameters, ASC_DEFAULTMAXPDU).good());
    ASC_setAPTitles(parameters, calling, called, nullptr);
    const auto address = "127.0.0.1:" + std::to_string(port);
    ASC_setPresentationAddresses(parameters, "localhost", address.c_str());
    T_ASC_PresentationContextID id = 1;
    for (const char* abstract_syntax :
         {UID_VerificationSOPClass, UID_FINDModalityWorklistInformationModel,
          UID_ModalityPerformedProcedureStepSOPClass,
          UID_ModalityPerformedProcedureStepRetrieveSOPClass}) {
      ASC_addPresentationContext(parameters, id, abstract_syntax, syntaxes.data(),
                                 static_cast<int>(syntaxes.size()), role);
      id = static_cast<T_ASC_PresentationContextID>(id + 2);
    }
    condition_ = ASC_requestAssociation(network_, parameters, &association_);
    if (condition_ == DUL_ASSOCIATIONREJECTED) ASC_getRejectParameters(parameters, &rejection_);
    if (association_ == nullptr) ASC_destroyAssociationParameters(&parameters);
  }
  LibraryScu(const LibraryScu&) = delete;
  LibraryScu& operator=(const LibraryScu&) = delete;
  ~LibraryScu() {
    if (open()) release();
    if (association_ != nullptr) ASC_destroyAssociation(&association_);
    ASC_dropNetwork(&network_);
  }

  bool open() const { return condition_.good(); }
  const T_ASC_RejectParameters& rejection() const { return rejection_; }
  T_ASC_Association* association() const { return association_; }
  void release() {
    CHECK(ASC_releaseAssociation(association_).good());
    condition_ = EC_IllegalCall;
  }

  void abort() {
    ASC_abortAssociation(association_);
    condition_ = EC_IllegalCall;
  }

  std::uint16_t echo() {
    DIC_US status = 0xFFFF;
    DcmDataset* detail = nullptr;
    const auto sent = DIMSE_echoUser(association_, association_->nextMsgID++, DIMSE_NONBLOCKING, 20,
                                     &status, &detail);
    CHECK(sent.good());
    delete detail;
    return status;
  }

  /// Responses other than the final one; the final status goes to status.
  std::vector<std::unique_ptr<DcmDataset>> find(DcmDataset& identifier, std::uint16_t& status,
                                                int cancel_at = -1) {
    struct Answers {
      LibraryScu* scu;
      int cancel_at;
      std::vector<std::unique_ptr<DcmDataset>> matches;
    } answers{this, cancel_at, {}};
    T_DIMSE_C_FindRQ request{};
    request.MessageID = association_->nextMsgID++;
    std::strcpy(request.AffectedSOPClassUID, UID_FINDModalityWorklistInformationModel);
    request.DataSetType = DIMSE_DATASET_PRESENT;
    T_DIMSE_C_FindRSP response{};
    DcmDataset* detail = nullptr;
    int count = 0;
    const auto condition = DIMSE_findUser(
        association_, 3, &request, &identifier, count,
        [](void* data, T_DIMSE_C_FindRQ* sent, int number, T_DIMSE_C_FindRSP*, DcmDataset* match) {
          auto& seen = *static_cast<Answers*>(data);
          seen.matches.push_back(std::make_unique<DcmDataset>(*match));
          if (number == seen.cancel_at) {
            DIMSE_sendCancelRequest(seen.scu->association_, 3, sent->MessageID);
          }
        },
        &answers, DIMSE_NONBLOCKING, 20, &response, &detail);
    CHECK(condition.good());
    take(detail);
    status = response.DimseStatus;
    return std::move(answers.matches);
  }

  std::uint16_t create(const char* uid, DcmDataset& attributes, std::string* assigned = nullptr) {
    T_DIMSE_Message message{};
    message.CommandField = DIMSE_N_CREATE_RQ;
    auto& request = message.msg.NCreateRQ;
    request.MessageID = association_->nextMsgID++;
    std::strcpy(request.AffectedSOPClassUID, UID_ModalityPerformedProcedureStepSOPClass);
    if (uid != nullptr) {
      std::strcpy(request.AffectedSOPInstanceUID, uid);
      request.opts = O_NCREATE_AFFECTEDSOPINSTANCEUID;
    }
    request.DataSetType = DIMSE_DATASET_PRESENT;
    exchange(5, message, &attributes);
    const auto& response = message.msg.NCreateRSP;
    if (assigned != nullptr) *assigned = response.AffectedSOPInstanceUID;
    return response.DimseStatus;
  }
  std::uint16_t set(const char* uid, DcmDataset& modifications) {
    T_DIMSE_Message message{};
    message.CommandField = DIMSE_N_SET_RQ;
    auto& request = message.msg.NSetRQ;
    request.MessageID = association_->nextMsgID++;
    std::strcpy(request.RequestedSOPClassUID, UID_ModalityPerformedProcedureStepSOPClass);
    std::strcpy(request.RequestedSOPInstanceUID, uid);
    request.DataSetType = DIMSE_DATASET_PRESENT;
    exchange(5, message, &modifications);
    return message.msg.NSetRSP.DimseStatus;
  }
  std::uint16_t get(const char* uid, std::vector<Uint16> tags, std::unique_ptr<DcmDataset>& found) {
    T_DIMSE_Message message{};
    message.CommandField = DIMSE_N_GET_RQ;
    auto& request = message.msg.NGetRQ;
    request.MessageID = association_->nextMsgID++;
    std::strcpy(request.RequestedSOPClassUID, UID_ModalityPerformedProcedureStepRetrieveSOPClass);
    std::strcpy(request.RequestedSOPInstanceUID, uid);
    request.DataSetType = DIMSE_DATASET_NULL;
    request.ListCount = static_cast<int>(tags.size());
    request.AttributeIdentifierList = tags.empty() ? nullptr : tags.data();
    exchange(7, message, nullptr);
    const auto& response = message.msg.NGetRSP;
    if (response.DataSetType != DIMSE_DATASET_NULL) found = receive_data_set();
    return response.DimseStatus;
  }

  /// Fields of the last response beyond the mandatory ones, such as the Error Comment.
  DcmDataset& detail() { return *detail_; }

 private:
  void take(DcmDataset* detail) { detail_.reset(detail != nullptr ? detail : new DcmDataset); }
  void exchange(T_ASC_PresentationContextID id, T_DIMSE_Message& message, DcmDataset* data_set) {
    CHECK(DIMSE_sendMessageUsingMemoryData(association_, id, &message, nullptr, data_set, nullptr,
                                           nullptr)
              .good());
    message = {};
    DcmDataset* detail = nullptr;
    T_ASC_PresentationContextID got = 0;
    CHECK(
        DIMSE_receiveCommand(association_, DIMSE_NONBLOCKING, 20, &got, &message, &detail).good());
    take(detail);
  }
  std::unique_ptr<DcmDataset> receive_data_set() {
    T_ASC_PresentationContextID id = 0;
    DcmDataset* data_set = nullptr;
    CHECK(DIMSE_receiveDataSetInMemory(association_, DIMSE_NONBLOCKING, 20, &id, &data_set, nullptr,
                                       nullptr)
              .good());
    return std::unique_ptr<DcmDataset>(data_set);
  }

  T_ASC_Network* network_ = nullptr;
  T_ASC_Association* association_ = nullptr;
  OFCondition condition_ = EC_Normal;
  T_ASC_RejectParameters rejection_{};
  std::unique_ptr<DcmDataset> detail_ = std::make_unique<DcmDataset>();
};

inline std::string text(DcmItem& item, const DcmTagKey& tag) {
  OFString value;
  item.findAndGetOFStringArray(tag, value, OFTrue);
  return value.c_str();
}

/// A worklist identifier as a modality sends it.
inline std::unique_ptr<DcmDataset> library_identifier(int items = 1) {
  auto identifier = std::make_unique<DcmDataset>();
  identifier->putAndInsertString(DCM_AccessionNumber, "");
  identifier->putAndInsertString(DCM_PatientName, "");
  for (int i = 0; i < items; ++i) {
    DcmItem* step = nullptr;
    identifier->findOrCreateSequenceItem(DCM_ScheduledProcedureStepSequence, step, i);
    step->putAndInsertString(DCM_ScheduledProcedureStepID, "");
  }
  return identifier;
}

inline std::unique_ptr<DcmDataset> library_mpps(const char* state) {
  auto attributes = std::make_unique<DcmDataset>();
  attributes->putAndInsertString(DCM_PatientName, "DOE^JANE");
  attributes->putAndInsertString(DCM_PerformedProcedureStepID, "PPS1");
  attributes->putAndInsertString(DCM_PerformedProcedureStepStatus, state);
  return attributes;
}

}  // namespace loopback
