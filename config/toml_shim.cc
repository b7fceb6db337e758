#include "config/toml_shim.h"

#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>

/* What the parser takes for granted is not always so for a malformed text (version 3.3.0 expects a
 * key behind the comma of an inline table): such a text is refused, the process lives on. */
[[noreturn]] static void not_toml()
{
    throw std::logic_error("what follows is not TOML");
}
#define TOML_ASSERT(expr) ((expr) ? static_cast<void>(0) : not_toml())
#ifdef NDEBUG
#error "the assertions of toml++ are needed: without them a malformed text is undefined behaviour"
#endif
#include <toml++/toml.h>

namespace
{

struct Walk {
    toml_item_fn *fn;
    void *arg;
    std::string section;
};

toml_kind kind_of(const toml::node &node)
{
    switch (node.type()) {
    case toml::node_type::string:
        return TOML_TEXT;
    case toml::node_type::integer:
        return TOML_INTEGER;
    case toml::node_type::boolean:
        return TOML_BOOLEAN;
    case toml::node_type::floating_point:
        return TOML_FLOAT;
    case toml::node_type::array:
        return TOML_ARRAY;
    case toml::node_type::table:
        return TOML_TABLE;
    default:
        return TOML_DATE;
    }
}

bool tell(Walk &walk, std::string_view key, const toml::node &node)
{
    toml_item item = {};

    item.section = walk.section.c_str();
    item.section_bytes = walk.section.size();
    item.key = key.data();
    item.key_bytes = key.size();
    item.kind = kind_of(node);
    item.line = node.source().begin.line;
    if (const auto *text = node.as_string()) {
        item.text = text->get().c_str();
        item.text_bytes = text->get().size();
    } else if (const auto *integer = node.as_integer()) {
        item.integer = integer->get();
    } else if (const auto *boolean = node.as_boolean()) {
        item.boolean = boolean->get();
    } else if (const auto *array = node.as_array()) {
        item.integer = static_cast<int64_t>(array->size());
    }
    return walk.fn(walk.arg, &item);
}

bool walk_table(Walk &walk, const toml::table &table)
{
    for (const auto &[key, node] : table) {
        if (!tell(walk, key.str(), node))
            return false;
        if (const toml::table *inner = node.as_table()) {
            size_t bytes = walk.section.size();

            if (bytes > 0)
                walk.section += '.';
            walk.section += key.str();
            if (!walk_table(walk, *inner))
                return false;
            walk.section.resize(bytes);
        }
    }
    return true;
}

} // namespace

extern "C" toml_result toml_read(const char *text, size_t bytes, toml_item_fn *fn, void *arg,
                                 toml_fault *fault)
{
    if (!toml_scan(text, bytes, fault))
        return TOML_BAD;
    try {
        const toml::table root = toml::parse(std::string_view(text, bytes));
        Walk walk = {fn, arg, {}};

        return walk_table(walk, root) ? TOML_OK : TOML_STOPPED;
    } catch (const toml::parse_error &e) {
        const std::string_view what = e.description();

        fault->line = e.source().begin.line;
        std::snprintf(fault->text, sizeof fault->text, "%.*s", static_cast<int>(what.size()),
                      what.data());
        return TOML_BAD;
    } catch (const std::bad_alloc &) {
        return TOML_NO_MEMORY;
    } catch (...) { /* nothing else is thrown that we know of; a file must not end the process */
        fault->line = 0;
        std::snprintf(fault->text, sizeof fault->text, "the file cannot be read as TOML");
        return TOML_BAD;
    }
}
