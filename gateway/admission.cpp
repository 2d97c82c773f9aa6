// From the sub-item of an association request to the checking that both fronts have in common.
#include "gateway/admission.h"

#include <memory>

namespace gateway {

mapping::Result<Admission> make_admission(const web::AuthenticationFiles& files) {
  if (!files.any()) return Admission();
  auto made = web::Authentication::make(files);
  if (!made) return made.fault();
  std::shared_ptr<web::Authentication> authentication = std::move(made).value();
  return Admission([authentication](const dimse::UserIdentity& user) {
    switch (user.type) {
      case dimse::UserIdentity::Type::passcode:
        return authentication->is_password(user.primary, user.passcode);
      case dimse::UserIdentity::Type::jwt:
        return authentication->owner_of_token(user.primary).has_value();
      default:
        return false;
    }
  });
}

}  // namespace gateway
