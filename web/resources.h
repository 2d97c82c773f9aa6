// What the origin server consists of: its resources, the operations on them, and the forms of their
// results. Requests are routed, capabilities described and results negotiated by these tables.
#pragma once

#include <array>
#include <string_view>

#include "mapping/outcome.h"
#include "web/capabilities.h"
#include "web/media_type.h"

namespace web {

// The resources. Supplement 246, Tables 14.1.1-1 and 15.1.1-1.
inline constexpr std::string_view scheduled = "/modality-scheduled-procedure-steps";
inline constexpr std::string_view performed = "/modality-performed-procedure-steps";

/// The transactions. Supplement 246: Search 14.4; Create 15.4; Update 15.5, whose examples B.38 and
/// B.39 write /update (rule J1); Retrieve 15.6. Requests are routed and capabilities described by
/// it.
inline constexpr std::array operations{
    Operation{mapping::Transaction::search, "searchForModalityScheduledProcedureSteps", "GET",
              "/modality-scheduled-procedure-steps"},
    Operation{mapping::Transaction::create, "createModalityPerformedProcedureStep", "POST",
              "/modality-performed-procedure-steps/{mppsUID}"},
    Operation{mapping::Transaction::update, "updateModalityPerformedProcedureStepByPath", "POST",
              "/modality-performed-procedure-steps/{mppsUID}/update"},
    Operation{mapping::Transaction::retrieve, "retrieveModalityPerformedProcedureStep", "GET",
              "/modality-performed-procedure-steps/{mppsUID}"},
};
/// Routed as Create, and told apart by its query.
inline constexpr Operation update_by_query{mapping::Transaction::update,
                                           "updateModalityPerformedProcedureStep", "POST",
                                           "/modality-performed-procedure-steps/{mppsUID}"};

// The forms of their results, the default first. Tables 14.1.3-1 and 15.1.3-1.
inline constexpr std::array search_forms{ResultForm::json, ResultForm::xml,
                                         ResultForm::multipart_json, ResultForm::multipart_xml};
inline constexpr std::array retrieve_forms{ResultForm::json, ResultForm::xml};

}  // namespace web
