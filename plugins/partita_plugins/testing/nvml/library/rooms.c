/* Whether one more GPU instance fits beside those that are there: placements, maxima, media engines. */
#include <string.h>

#include "rules.h"

static bool overlap(struct placement a, struct placement b)
{
    return a.start < b.start + b.size && b.start < a.start + a.size;
}

struct placement placement_of(const struct json *instance)
{
    return (struct placement){(unsigned)json_integer(instance, "start", 0), (unsigned)json_integer(instance, "size", 0)};
}

static bool has_media(const struct json *profile, const char *share)
{
    return strcmp(json_text(profile, "media", "some"), share) == 0;
}

static int check_media(const struct json *record, const struct gpu *gpu, const struct json *profile)
{
    bool any = false, all = false;
    json_each(instance, json_get(record, "instances")) {
        const struct json *other = profile_by_id(gpu, json_integer(instance, "profile_id", -1));
        any = any || !has_media(other, "none");
        all = all || has_media(other, "all");
    }
    if ((all && !has_media(profile, "none")) || (any && has_media(profile, "all")))
        return INSUFFICIENT_RESOURCES;
    return OK;
}

int check_room(const struct json *record, const struct gpu *gpu, const struct json *profile, struct placement wanted)
{
    unsigned alike = 0;
    json_each(instance, json_get(record, "instances")) {
        if (overlap(placement_of(instance), wanted))
            return INSUFFICIENT_RESOURCES;
        alike += json_integer(instance, "profile_id", -1) == json_integer(profile, "id", -2);
    }
    if (alike >= profile_number(profile, "max_instances"))
        return INSUFFICIENT_RESOURCES;
    return check_media(record, gpu, profile);
}
