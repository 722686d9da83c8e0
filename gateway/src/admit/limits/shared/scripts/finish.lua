-- Ends requests: frees places, voids, settles. Each end counts once.
end_requests()
return 1
