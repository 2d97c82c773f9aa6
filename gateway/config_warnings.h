// What a configuration without faults will be regretted for: it serves, and hurts later.
#pragma once

#include <vector>

#include "gateway/config.h"

namespace gateway {

/// Each as one line: what, where, what to do. By line. sections: what config was read from, for the
/// lines and the names of files. Looks at this machine too: at the file system under state_dir, at
/// the age of certificates and at who may read secrets. Asks no peer.
///
/// What listens on the loopback only, or is asked there, is not warned of.
std::vector<ConfigFault> config_warnings(const Config& config,
                                         const std::vector<IniSection>& sections);

}  // namespace gateway
