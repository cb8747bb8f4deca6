"""The dashboard and the API beside a long history: how soon they answer, and how soon one sees it."""
