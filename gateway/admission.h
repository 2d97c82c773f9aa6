// Which user identities may associate with the DIMSE front: the same files and the same checking as
// on the web front. PS3.7, D.3.3.7; rule H10.
#pragma once

#include <functional>

#include "dimse/negotiation.h"
#include "mapping/result.h"
#include "web/authentication.h"

namespace gateway {

/// Whether this user identity may associate. Safe from any thread.
using Admission = std::function<bool(const dimse::UserIdentity&)>;

/// User name and passcode are looked for in users, a JSON Web Token in tokens. A user name alone
/// proves nothing, and nobody here can check Kerberos and SAML: these are refused. Without files
/// the Admission is empty: nobody is asked for an identity. Fault: as Authentication::make.
mapping::Result<Admission> make_admission(const web::AuthenticationFiles& files);

}  // namespace gateway
