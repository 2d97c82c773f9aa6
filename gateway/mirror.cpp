#include "gateway/mirror.h"

#include "mapping/mpps_rules.h"
#include "mapping/tags.h"

namespace gateway {
namespace {

namespace tags = mapping::tags;

/// What the message says of an attribute, else what is recorded, else nothing.
std::string text_after(mapping::Tag tag, const MppsMessage& message, const RecordedStep* recorded) {
  if (const auto text = message.attributes.view().text(tag); !text.empty()) {
    return std::string(text);
  }
  return recorded == nullptr ? std::string() : std::string(recorded->attributes.view().text(tag));
}

bool wanted(const std::set<std::string>& those, const std::string& value) {
  return those.empty() || value.empty() || those.contains(value);
}

}  // namespace

std::optional<Destination> destination(const std::string& receiver, const MirrorFilter& filter,
                                       const MppsMessage& message, const RecordedStep* recorded) {
  using How = Destination::How;
  if (!wanted(filter.modalities, text_after(tags::Modality, message, recorded))) {
    return std::nullopt;
  }
  const auto state = text_after(tags::PerformedProcedureStepStatus, message, recorded);
  if (wanted(filter.states, state)) return Destination{receiver, How::deliver};
  const bool final = mapping::is_final(message.attributes);
  return Destination{receiver, final ? How::drop_withheld : How::withhold};
}

}  // namespace gateway
