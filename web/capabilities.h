// Retrieve Capabilities: what an origin server offers, as WADL in XML or JSON, made of the table
// that its requests are routed by. PS3.18, 8.9, Annexes G and H; rules C.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mapping/outcome.h"
#include "web/media_type.h"

namespace web {

inline constexpr std::string_view wadl_xml = "application/vnd.sun.wadl+xml";
inline constexpr std::string_view wadl_json = "application/json";

/// A transaction under one of its URIs: a row of the route table.
struct Operation {
  mapping::Transaction transaction;
  std::string_view id;      ///< of the WADL method
  std::string_view method;  ///< GET or POST
  std::string_view path;    ///< below the base, such as /performed/{uid}
};

/// What is said beside the operations.
struct CapabilitiesOptions {
  std::string base_uri;  ///< as the client knows it; without a slash at its end
  std::span<const ResultForm> search_forms;
  std::span<const ResultForm> retrieve_forms;
  bool asks_for_credentials = false;  ///< 401 may be answered
};

/// One element of the description, whatever form it is written in.
struct DescriptionElement {
  std::string name;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::vector<DescriptionElement> children;
  std::string text;
};

/// The description of what stands at a path below the base ("" or "/" = everything; template
/// segments match any) and under it. Nothing if there is no such resource.
std::optional<DescriptionElement> describe(std::span<const Operation> offered,
                                           std::string_view target,
                                           const CapabilitiesOptions& options);

std::string to_wadl(const DescriptionElement& application);
/// Annex G: attributes are members @name; elements that may repeat are arrays. rule C8
std::string to_json(const DescriptionElement& application);

}  // namespace web
