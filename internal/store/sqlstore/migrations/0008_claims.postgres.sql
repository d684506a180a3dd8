INSERT INTO service_members (service, project, server)
SELECT DISTINCT t.id, t.project, m.value ->> 'Server' FROM targets t, json_array_elements(t.doc::json -> 'Service' -> 'Members') m
WHERE t.kind = 'service' AND COALESCE(m.value ->> 'Server', '') <> '';
