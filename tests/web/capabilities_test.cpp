// What the server says of itself, against what it does: over its own socket, read by tinyxml2 and
// RapidJSON.
#include "web/capabilities.h"

#include <fmt/format.h>
#include <rapidjson/document.h>
#include <tinyxml2.h>

#include <catch2/catch.hpp>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "tests/web/origin_server_support.h"

using tinyxml2::XMLElement;
using web_test::ask;
using web_test::mpps;
using web_test::Response;
using web_test::sps;

namespace {

struct Site : web_test::Site {
  using web_test::Site::Site;
  Response options(const std::string& target, const std::string& headers = "") {
    return ask(port, fmt::format("OPTIONS {} HTTP/1.1\r\nHost: gateway.example:8081\r\n{}\r\n",
                                 target, headers));
  }
};

/// What the schema of WADL lets stand where, in its order, and the attributes.
struct Rule {
  std::vector<std::string> children;
  std::set<std::string> attributes;
};
const std::map<std::string, Rule> schema{
    {"application", {{"doc", "resources"}, {"xmlns", "xmlns:xs"}}},
    {"doc", {{}, {"xml:lang", "title"}}},
    {"resources", {{"doc", "resource"}, {"base"}}},
    {"resource", {{"doc", "param", "method", "resource"}, {"path", "id"}}},
    {"method", {{"doc", "request", "response"}, {"name", "id"}}},
    {"request", {{"doc", "param", "representation"}, {}}},
    {"response", {{"doc", "param", "representation"}, {"status"}}},
    {"param",
     {{"doc", "option"},
      {"name", "style", "id", "type", "default", "required", "repeating", "fixed"}}},
    {"option", {{"doc"}, {"value", "mediaType"}}},
    {"representation", {{"doc", "param"}, {"mediaType", "id"}}},
};

void check_schema(const XMLElement& element) {
  CAPTURE(element.Name());
  REQUIRE(schema.count(element.Name()) == 1);
  const Rule& rule = schema.at(element.Name());
  for (const auto* each = element.FirstAttribute(); each != nullptr; each = each->Next()) {
    CAPTURE(each->Name());
    CHECK(rule.attributes.count(each->Name()) == 1);
  }
  std::size_t last = 0;
  for (const auto* child = element.FirstChildElement(); child != nullptr;
       child = child->NextSiblingElement()) {
    const auto found = std::find(rule.children.begin(), rule.children.end(), child->Name());
    REQUIRE(found != rule.children.end());
    std::size_t place = static_cast<std::size_t>(found - rule.children.begin());
    // Methods and resources may be mixed.
    if (std::string(child->Name()) == "resource") place = last;
    CHECK(place >= last);
    last = place;
    check_schema(*child);
  }
}

using Methods = std::set<std::pair<std::string, std::string>>;  // path, method

void collect(const XMLElement& element, const std::string& path, Methods& methods,
             std::set<std::string>& ids) {
  for (const auto* child = element.FirstChildElement(); child != nullptr;
       child = child->NextSiblingElement()) {
    if (std::string(child->Name()) == "resource") {
      collect(*child, path + "/" + child->Attribute("path"), methods, ids);
    } else if (std::string(child->Name()) == "method") {
      methods.emplace(path, child->Attribute("name"));
      CHECK(ids.insert(child->Attribute("id")).second);
    }
  }
}

Methods described(const Response& response) {
  CHECK(response.status == 200);
  CHECK(response.header("content-type") == "application/vnd.sun.wadl+xml");
  tinyxml2::XMLDocument document;
  REQUIRE(document.Parse(response.body.data(), response.body.size()) == tinyxml2::XML_SUCCESS);
  const XMLElement* application = document.RootElement();
  REQUIRE(std::string(application->Name()) == "application");
  CHECK(std::string(application->Attribute("xmlns")) == "http://wadl.dev.java.net/2009/02");
  check_schema(*application);
  Methods methods;
  std::set<std::string> ids;
  collect(*application->FirstChildElement("resources"), "", methods, ids);
  return methods;
}

/// The JSON member is the XML element: its attributes, its children in their order, nothing else.
void check_same(const XMLElement& element, const rapidjson::Value& object) {
  CAPTURE(element.Name());
  REQUIRE(object.IsObject());
  std::size_t members = 0;
  for (const auto* each = element.FirstAttribute(); each != nullptr; each = each->Next()) {
    const auto member = object.FindMember((std::string("@") + each->Name()).c_str());
    REQUIRE(member != object.MemberEnd());
    CHECK(std::string(member->value.GetString()) == each->Value());
    ++members;
  }
  if (element.GetText() != nullptr) {
    CHECK(std::string(object["value"].GetString()) == element.GetText());
    ++members;
  }
  std::map<std::string, rapidjson::SizeType> seen;
  for (const auto* child = element.FirstChildElement(); child != nullptr;
       child = child->NextSiblingElement()) {
    const auto member = object.FindMember(child->Name());
    REQUIRE(member != object.MemberEnd());
    const rapidjson::SizeType at = seen[child->Name()]++;
    if (member->value.IsObject()) {
      check_same(*child, member->value);
    } else {
      REQUIRE(at < member->value.Size());
      check_same(*child, member->value[at]);
    }
  }
  for (const auto& [name, count] : seen) {
    const auto& value = object[name.c_str()];
    CHECK((value.IsArray() ? value.Size() : 1) == count);
  }
  CHECK(object.MemberCount() == members + seen.size());
}

}  // namespace

TEST_CASE("The WADL names every route that the server has, and no other (rules C4, C6)") {
  Site site;
  const Methods methods = described(site.options("/"));
  // Every method that any path of this server allows, as its own 405 says.
  Methods allowed;
  for (const std::string& path : {std::string(""), mpps, sps, mpps + "/{mppsUID}", sps + "/{x}",
                                  mpps + "/{mppsUID}/update", mpps + "/{mppsUID}/x"}) {
    std::string target = path.substr(0, path.find('{'));
    if (target != path) target += "1.2.3" + path.substr(path.find('}') + 1);
    const Response refused = ask(site.port, fmt::format("PUT {} HTTP/1.1\r\nHost: h\r\n\r\n",
                                                        target.empty() ? "/" : target));
    if (refused.status == 404) continue;
    REQUIRE(refused.status == 405);
    for (const char* method : {"GET", "POST", "PUT", "DELETE", "PATCH"}) {
      if (refused.header("allow").find(method) != std::string::npos) allowed.emplace(path, method);
    }
  }
  CHECK(methods == allowed);
  CHECK(methods.size() == 4);
}

TEST_CASE("The capabilities in JSON say what they say in XML (rule C8)") {
  Site site;
  const Response xml = site.options("/");
  const Response json = site.options("/", "Accept: application/json\r\n");
  CHECK(json.header("content-type") == "application/json");
  tinyxml2::XMLDocument wadl;
  REQUIRE(wadl.Parse(xml.body.data(), xml.body.size()) == tinyxml2::XML_SUCCESS);
  rapidjson::Document document;
  document.Parse(json.body.c_str());
  REQUIRE_FALSE(document.HasParseError());
  REQUIRE(document.MemberCount() == 1);
  check_same(*wadl.RootElement(), document["application"]);
  CHECK(document["application"]["resources"]["resource"].IsArray());
}

TEST_CASE("Only what the backends offer is described (rule C9)") {
  Site site;
  site.offer_mpps = false;
  CHECK(described(site.options("/")) == Methods{{sps, "GET"}});
  site.offer_mpps = true;
  site.offer_worklist = false;
  CHECK(described(site.options("/")).size() == 3);
  CHECK(site.options(sps).status == 501);
  // N-GET alone may be missing.
  site.steps.retrievable = false;
  CHECK(described(site.options("/")) ==
        Methods{{mpps + "/{mppsUID}", "POST"}, {mpps + "/{mppsUID}/update", "POST"}});
  site.steps.retrievable = true;
  CHECK(described(site.options("/")).size() == 3);
  site.offer_mpps = false;
  CHECK(described(site.options("/")).empty());
}

TEST_CASE("OPTIONS on a resource describes it and what is below (rule C1)") {
  Site site;
  CHECK(described(site.options("*")).size() == 4);
  CHECK(described(site.options(sps)) == Methods{{sps, "GET"}});
  CHECK(described(site.options(sps + "/")) == Methods{{sps, "GET"}});
  CHECK(described(site.options(mpps)).size() == 3);
  CHECK(described(site.options(mpps + "/1.2.3")).size() == 3);
  CHECK(described(site.options(mpps + "/1.2.3/update")).size() == 1);
  CHECK(site.options(mpps + "/1.2.3").header("allow") == "POST, GET, HEAD, OPTIONS");
  CHECK(site.options("/elsewhere").status == 404);
  CHECK(site.options(mpps + "/1.2.3/elsewhere").status == 404);
}

TEST_CASE("The capabilities stand under the base path, and name it as the client knows it") {
  web::OriginServerOptions options;
  options.base_path = "/radiology";
  Site site(options);
  const Response response = site.options("/radiology");
  CHECK(described(response).size() == 4);
  CHECK(response.body.find("base=\"http://gateway.example:8081/radiology/\"") != std::string::npos);
  CHECK(site.options("/").status == 404);
  CHECK(site.options("/radiology" + sps.substr(1)).status == 404);
}

TEST_CASE(
    "The search is described with its parameters, each match key by tag and by keyword (C5)") {
  Site site;
  const std::string body = site.options(sps).body;
  for (const char* name : {"limit", "offset", "includefield", "fuzzymatching", "emptyvaluematching",
                           "accept", "multiplevaluematching", "charset", "00400100.00080060",
                           "00100020", "PatientID", "ScheduledProcedureStepSequence.Modality"}) {
    CAPTURE(name);
    CHECK(body.find(fmt::format("<param name=\"{}\" style=\"query\"", name)) != std::string::npos);
  }
  CHECK(
      body.find("<option value=\"multipart/related; type=&quot;application/dicom+xml&quot;\"/>") !=
      std::string::npos);
}

TEST_CASE("Each method is described with its id, its types and its statuses (rule C7)") {
  Site site;
  const Response response = site.options("/");
  tinyxml2::XMLDocument document;
  REQUIRE(document.Parse(response.body.data(), response.body.size()) == tinyxml2::XML_SUCCESS);
  std::map<std::string, std::set<std::string>> said;  // by the method's id
  std::function<void(const XMLElement&, const std::string&)> walk;
  walk = [&](const XMLElement& element, const std::string& method) {
    for (const auto* child = element.FirstChildElement(); child != nullptr;
         child = child->NextSiblingElement()) {
      const std::string name = child->Name();
      const std::string in = name == "method" ? child->Attribute("id") : method;
      if (name == "response") {
        std::istringstream statuses(child->Attribute("status"));
        for (std::string status; statuses >> status;) said[in].insert(status);
      } else if (name == "representation") {
        said[in].insert(std::string(element.Name()) + " " + child->Attribute("mediaType"));
      } else if (name == "param") {
        said[in].insert(child->Attribute("name"));
      }
      walk(*child, in);
    }
  };
  walk(*document.RootElement(), "");
  const std::string parts = "response multipart/related; type=\"application/dicom+";
  const std::map<std::string, std::vector<std::string>> skeleton{
      {"", {"mppsUID"}},
      {"searchForModalityScheduledProcedureSteps",
       {"Accept",
        "accept",
        "charset",
        "limit",
        "offset",
        "includefield",
        "fuzzymatching",
        "emptyvaluematching",
        "multiplevaluematching",
        "00400100.00400001",
        "ScheduledProcedureStepSequence.ScheduledStationAETitle",
        "response application/dicom+json",
        "response application/dicom+xml",
        parts + "json\"",
        parts + "xml\"",
        "200",
        "204",
        "400",
        "403",
        "406",
        "413",
        "500",
        "501",
        "503"}},
      {"createModalityPerformedProcedureStep",
       {"request application/dicom+json", "request application/dicom+xml", "201", "400", "409",
        "415", "503"}},
      {"updateModalityPerformedProcedureStep",
       {"update", "request application/dicom+json", "request application/dicom+xml", "200", "400",
        "404", "409", "415", "503"}},
      {"retrieveModalityPerformedProcedureStep",
       {"includefield", "response application/dicom+json", "response application/dicom+xml", "200",
        "400", "404", "406", "501", "503"}},
  };
  for (const auto& [method, wanted] : skeleton) {
    for (const std::string& what : wanted) {
      CAPTURE(method, what);
      CHECK(said[method].count(what) == 1);
    }
  }
}

TEST_CASE("Capabilities are negotiated (rule C2)") {
  Site site;
  CHECK(site.options("/").body.find(" 401 ") == std::string::npos);  // nobody is asked who he is
  struct Row {
    std::string accept;
    std::string type;
  };
  const std::string xml = "application/vnd.sun.wadl+xml";
  for (const Row& row : {
           Row{"*/*", xml},
           Row{"application/*", xml},
           Row{xml, xml},
           Row{"application/json", "application/json"},
           Row{"application/json, */*;q=0.1", "application/json"},
           Row{"application/json;q=0.1, " + xml, xml},
           Row{"text/html", ""},
           Row{"", ""},
       }) {
    CAPTURE(row.accept);
    const Response response = site.options("/", "Accept: " + row.accept + "\r\n");
    CHECK(response.status == (row.type.empty() ? 406 : 200));
    if (!row.type.empty()) CHECK(response.header("content-type") == row.type);
  }
  CHECK(site.options("/", "Accept: text/html\r\n").body.find(xml + ", application/json") !=
        std::string::npos);
}

TEST_CASE("A browser's preflight is answered as such, for allowed origins only (rule C3)") {
  web::OriginServerOptions options;
  options.cors_allowed_origins = {"https://app.example", "http://localhost:3000"};
  Site site(options);
  const std::string asks = "Access-Control-Request-Method: POST\r\n";
  const Response allowed = site.options(mpps + "/1.2.3", "Origin: https://app.example\r\n" + asks);
  CHECK(allowed.status == 204);
  CHECK(allowed.body.empty());
  CHECK(allowed.header("access-control-allow-origin") == "https://app.example");
  CHECK(allowed.header("access-control-allow-methods") == "POST, GET, HEAD, OPTIONS");
  CHECK(allowed.header("access-control-allow-headers").find("Content-Type") != std::string::npos);
  CHECK(allowed.header("vary") == "Origin");
  for (const char* origin :
       {"https://app.example.evil", "http://app.example", "null", "https://app.example:444", ""}) {
    CAPTURE(origin);
    const Response refused =
        site.options(mpps + "/1.2.3", fmt::format("Origin: {}\r\n", origin) + asks);
    CHECK(refused.status == 403);
    CHECK(refused.header("access-control-allow-origin") == "-");
  }
  // Without the question it is OPTIONS; it may come from a page nevertheless.
  const Response plain = site.options("/", "Origin: https://app.example\r\n");
  CHECK(plain.status == 200);
  CHECK(plain.header("access-control-allow-origin") == "https://app.example");
}

TEST_CASE("Answers may be read by pages of allowed origins, problem reports too") {
  web::OriginServerOptions options;
  options.cors_allowed_origins = {"https://app.example"};
  Site site(options);
  site.worklist.matches.push_back(web_test::scheduled_step(1));
  const std::string origin = "Origin: https://app.example\r\n";
  for (const std::string& target : {sps, sps + "?limit=x", std::string("/elsewhere")}) {
    CAPTURE(target);
    const Response response = ask(site.port, web_test::get(target, origin));
    CHECK(response.header("access-control-allow-origin") == "https://app.example");
    CHECK(response.header("access-control-expose-headers").find("Warning") != std::string::npos);
    const Response other = ask(site.port, web_test::get(target, "Origin: https://other\r\n"));
    CHECK(other.status == response.status);
    CHECK(other.header("access-control-allow-origin") == "-");
    CHECK(other.header("vary") == "Origin");
  }
}

TEST_CASE("Any origin, or none") {
  web::OriginServerOptions options;
  options.cors_allowed_origins = {"*"};
  {
    Site site(options);
    CHECK(ask(site.port, web_test::get(sps, "Origin: null\r\n"))
              .header("access-control-allow-origin") == "*");
  }
  Site site;
  const Response response =
      site.options(sps, "Origin: https://a\r\nAccess-Control-Request-Method: GET\r\n");
  CHECK(response.header("access-control-allow-origin") == "-");
  for (const std::string& field : response.all("vary")) CHECK(field != "Origin");
  for (const char* origin : {"app.example", "https://", "https://app.example/", "ftp://a", "",
                             "https://App.example", "https://a, https://b", "**"}) {
    CAPTURE(origin);
    options.cors_allowed_origins = {origin};
    web::OriginServer server(
        options, [](const mapping::Caller&) { return mapping::Services{}; }, web_test::silent());
    CHECK_FALSE(server.start().ok());
  }
}
