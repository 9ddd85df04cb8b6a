"""pipelinekit: declarative real-time metrics, from YAML specs to exact event-time aggregates."""
