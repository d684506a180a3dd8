INSERT INTO service_members (service, project, server)
SELECT DISTINCT t.id, t.project, json_extract(m.value, '$.Server') FROM targets t, json_each(t.doc, '$.Service.Members') m
WHERE t.kind = 'service' AND COALESCE(json_extract(m.value, '$.Server'), '') <> '';
